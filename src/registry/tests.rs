//! The registry in a directory of its own.

use std::sync::{Arc, Mutex};

use super::*;

const NOW: i64 = 1_795_343_438;
const LIMITS: Limits = Limits {
    persons: 100,
    addresses_of_a_person: 3,
    addresses_of_a_machine: 2,
    addresses: 1000,
    url_bytes: 100,
    name_bytes: 6,
    forget_idle_after: Some(Duration::from_secs(10 * 86_400)),
};

fn machine(number: u128) -> Uuid {
    Uuid::from_u128(0xc000_0000_0000_4000_a000_0000_0000_0000 + number)
}

fn url(number: u128) -> String {
    format!("http://parent:19999/host/{number}/")
}

fn access(registry: &mut Registry, person: Option<Uuid>, number: u128, now: i64) -> Outcome {
    let wish =
        Wish::Access {
            person, machine: machine(number), url: url(number), name: format!("größe-{number}")
        };
    registry.fulfil(&[wish], now).remove(0)
}

fn person_of(outcome: Outcome) -> (Uuid, Vec<Visit>) {
    match outcome {
        Outcome::Accessed { person, visits } => (person, visits),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_answered_is_there_after_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut registry = Registry::open(directory.path(), LIMITS, NOW);
    let (person, visits) = person_of(access(&mut registry, None, 1, NOW));
    let visit = Visit { machine: machine(1), url: url(1), last: NOW, times: 1, name: "größ".into() };
    assert_eq!(visits, std::slice::from_ref(&visit));
    // No orderly end: what was answered is in the file already.
    let copy = tempfile::tempdir().expect("a directory");
    std::fs::copy(directory.path().join("registry.redb"), copy.path().join("registry.redb")).expect("copied");
    let mut registry = Registry::open(copy.path(), LIMITS, NOW);
    let (again, visits) = person_of(access(&mut registry, Some(person), 1, NOW + 5));
    assert_eq!((again, &visits[..]), (person, &[Visit { last: NOW + 5, times: 2, ..visit }][..]));
    assert_eq!(registry.counts().expect("readable"), (1, 1));
}

#[test]
fn a_stranger_cannot_choose_who_to_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut registry = Registry::open(directory.path(), LIMITS, NOW);
    let chosen = Uuid::from_u128(7);
    let (person, _) = person_of(access(&mut registry, Some(chosen), 1, NOW));
    assert_ne!(person, chosen);
}

#[test]
fn visits_are_searched_deleted_and_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut registry = Registry::open(directory.path(), LIMITS, NOW);
    let (anna, _) = person_of(access(&mut registry, None, 1, NOW));
    access(&mut registry, Some(anna), 2, NOW + 1);
    let (otto, _) = person_of(access(&mut registry, None, 2, NOW + 2));
    let mut fulfil = |wish: Wish| registry.fulfil(&[wish], NOW + 3).remove(0);
    let search =
        |person, wanted| Wish::Search { person: Some(person), machine: machine(2), url: url(2), wanted };
    assert_eq!(
        fulfil(search(anna, machine(2))),
        Outcome::Found(vec![Sighting { url: url(2), last: NOW + 2, times: 2 }])
    );
    assert_eq!(fulfil(search(otto, machine(1))), Outcome::Refused, "Otto has not been there");
    assert_eq!(fulfil(search(Uuid::from_u128(1), machine(2))), Outcome::Refused);

    let switch = |person, number, to| Wish::Switch { person: Some(person), machine: machine(number), to };
    assert_eq!(fulfil(switch(anna, 2, otto)), Outcome::Switched { person: otto });
    assert_eq!(fulfil(switch(Uuid::from_u128(1), 2, otto)), Outcome::UnknownPerson);
    assert_eq!(fulfil(switch(anna, 2, Uuid::from_u128(1))), Outcome::UnknownOther);
    assert_eq!(fulfil(switch(anna, 9, otto)), Outcome::UnknownMachine);
    assert_eq!(fulfil(switch(otto, 1, anna)), Outcome::NotVisited);
    assert_eq!(fulfil(switch(anna, 1, otto)), Outcome::NotVisitedByOther);

    let delete = |deleted| Wish::Delete { person: Some(anna), machine: machine(2), url: url(2), deleted };
    assert_eq!(fulfil(delete(url(1))), Outcome::Deleted);
    assert_eq!(fulfil(delete(url(1))), Outcome::Refused, "it is gone");
}

#[test]
fn all_that_strangers_can_fill_is_bounded() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits { persons: 2, addresses: 4, ..LIMITS };
    let mut registry = Registry::open(directory.path(), limits, NOW);
    let (person, _) = person_of(access(&mut registry, None, 0, NOW));
    for number in 1..5 {
        access(&mut registry, Some(person), number, NOW + number as i64);
    }
    let (_, visits) = person_of(access(&mut registry, Some(person), 5, NOW + 5));
    let left: Vec<Uuid> = visits.iter().map(|visit| visit.machine).collect();
    assert_eq!(left, [machine(3), machine(4), machine(5)], "the oldest are gone");

    let (other, _) = person_of(access(&mut registry, None, 5, NOW + 6));
    assert_eq!(access(&mut registry, None, 5, NOW), Outcome::Refused, "a third person");
    assert_eq!(access(&mut registry, Some(other), 6, NOW), Outcome::Refused, "a fifth address");
    let long =
        Wish::Access { person: Some(other), machine: machine(5), url: "h".repeat(101), name: String::new() };
    assert_eq!(registry.fulfil(&[long], NOW), [Outcome::Refused]);
    for number in 0..4 {
        let wish =
            Wish::Access { person: Some(person), machine: machine(5), url: url(number), name: String::new() };
        registry.fulfil(&[wish], NOW + 10);
    }
    let search = Wish::Search { person: Some(person), machine: machine(5), url: url(3), wanted: machine(5) };
    match registry.fulfil(&[search], NOW + 10).remove(0) {
        Outcome::Found(sightings) => assert!(sightings.len() <= 2, "{sightings:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_not_seen_any_more_is_forgotten() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut registry = Registry::open(directory.path(), LIMITS, NOW);
    let (gone, _) = person_of(access(&mut registry, None, 1, NOW));
    let (stays, _) = person_of(access(&mut registry, None, 2, NOW));
    access(&mut registry, Some(stays), 2, NOW + 5 * 86_400);
    assert_eq!(registry.counts().expect("readable"), (2, 2));
    access(&mut registry, Some(stays), 2, NOW + 11 * 86_400);
    assert_eq!(registry.counts().expect("readable"), (1, 1));
    let (again, _) = person_of(access(&mut registry, Some(gone), 1, NOW + 11 * 86_400));
    assert_ne!(again, gone);
}

/// What is written to the log meanwhile.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&lines);
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(Arc::clone(&writer))).finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(lines.lock().unwrap().clone()).expect("text");
    text.lines().filter(|line| line.contains("registry")).map(str::to_owned).collect()
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_cannot_be_used_is_told_once_and_seldom_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("registry.redb");
    std::fs::write(&file, "no database").expect("written");
    let mut registry = None;
    let told = logged(|| {
        let registry = registry.insert(Registry::open(directory.path(), LIMITS, NOW));
        for later in 0..RETRY_EVERY_S + 5 {
            assert_eq!(access(registry, None, 1, NOW + later), Outcome::Unavailable);
        }
    });
    assert_eq!(told.len(), 1, "{told:?}");
    for words in ["registry.redb cannot be used: ", "Move it away", "enabled = no", "every 10 minutes"] {
        assert!(told[0].contains(words), "{words}: {}", told[0]);
    }
    let mut registry = registry.expect("it is there");
    // An operator does what is said. It is not noticed before its time, however many ask.
    std::fs::remove_file(&file).expect("removed");
    let told = logged(|| {
        for later in RETRY_EVERY_S + 5..2 * RETRY_EVERY_S {
            assert_eq!(access(&mut registry, None, 1, NOW + later), Outcome::Unavailable);
        }
        person_of(access(&mut registry, None, 1, NOW + 2 * RETRY_EVERY_S));
        person_of(access(&mut registry, None, 1, NOW + 2 * RETRY_EVERY_S));
    });
    assert!(told.len() == 1 && told[0].contains("can be used again"), "{told:?}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("file"), "").expect("written");
    let told = logged(|| {
        Registry::open(&directory.path().join("file"), LIMITS, NOW);
    });
    assert!(told.len() == 1 && told[0].contains("registry.redb cannot be made: "), "{told:?}");
}
