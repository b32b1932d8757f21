use proptest::prelude::*;

use super::*;
use crate::{key::WriterId, time::UnixSeconds};

const FILE: FileId = FileId { sequence: 7, writer: WriterId(2) };

fn page(first: i64, rows: usize, columns: usize, seed: u32) -> Page {
    let times: Vec<UnixSeconds> = (0..rows as i64).map(|row| UnixSeconds(first + row)).collect();
    let mut random = seed | 1;
    let values: Vec<f32> = (0..rows * columns)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            f32::from_bits(random >> 2)
        })
        .collect();
    Page::seal(1, &times, &values, &[])
}

/// Pages of a few groups, one after the other.
fn pages(count: u32, columns: usize) -> Vec<ExtentPage> {
    let groups = 5;
    let listed = |index: u32| ExtentPage {
        number: index % groups,
        key: (index < groups).then_some(GroupKey(u128::from(index) << 100 | 9)),
        page: page(1_700_000_000 + i64::from(index / groups) * 16, 16, columns, index),
    };
    (0..count).map(listed).collect()
}

fn directory_of(bytes: &[u8], offset: u64, keys: &mut Vec<GroupKey>) -> Option<Vec<Listed>> {
    let header = Header::parse(bytes.first_chunk()?, FILE)?;
    read_directory(bytes, header, offset, keys)
}

/// A page out of an extent that stands at `offset`.
fn read(bytes: &[u8], offset: u64, place: PageRef) -> Result<Page, BrokenPage> {
    let bytes = usize::try_from(place.at().wrapping_sub(offset)).ok().and_then(|at| bytes.get(at..));
    let bytes = bytes.ok_or(BrokenPage::Header)?;
    Frame::open(FrameHeader::parse(bytes, FILE)?, bytes)?.page(place)
}

#[test]
fn what_was_built_is_found_by_its_places_and_by_its_directory() {
    for (count, columns) in [(0, 1), (1, 1), (40, 3), (400, 9), (3, 3000)] {
        let pages = pages(count, columns);
        for offset in [0, 3 << 32] {
            let (bytes, places) = build(FILE, offset, &pages);
            assert!(bytes.len().is_multiple_of(BLOCK));
            let mut keys = vec![];
            let listed = directory_of(&bytes, offset, &mut keys).expect("an extent");
            let expected: Vec<GroupKey> = pages.iter().filter_map(|page| page.key).collect();
            assert_eq!(keys, expected);
            assert_eq!((listed.len(), places.len()), (pages.len(), pages.len()));
            assert!(listed.is_sorted_by_key(|page| page.place.first));
            for (page, place) in pages.iter().zip(places) {
                let found = read(&bytes, offset, place).expect("a page");
                assert_eq!(found.as_bytes(), page.page.as_bytes());
                let listed = listed.iter().find(|listed| listed.place == place).expect("it is listed");
                assert_eq!(listed.number, page.number);
                assert_eq!(i64::from(place.first), found.span().first.0);
                assert_eq!(i64::from(listed.last), found.span().last.0);
            }
        }
    }
}

#[test]
fn numbers_of_earlier_extents_need_no_keys() {
    let mut pages = pages(8, 1);
    let mut keys: Vec<GroupKey> = pages.iter().filter_map(|page| page.key).collect();
    let known = keys.clone();
    pages.iter_mut().for_each(|page| page.key = None);
    let (bytes, _) = build(FILE, 0, &pages);
    assert!(directory_of(&bytes, 0, &mut keys).is_some());
    assert_eq!(keys, known);
    assert_eq!(directory_of(&bytes, 0, &mut Vec::new()), None, "whose pages these are cannot be known");
}

#[test]
fn what_does_not_pack_is_stored_and_so_is_what_is_long() {
    let mut packer = Packer::new();
    let mut noise = vec![0; 10_000];
    let mut random = 1u32;
    for byte in &mut noise {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (random >> 24) as u8;
    }
    assert_eq!(packer.pack(&noise).len(), noise.len());
    let plain = vec![7; 10_000];
    let packed = packer.pack(&plain).to_vec();
    assert!(packed.len() < 100);
    assert_eq!(unpack(&packed, 10_000).as_deref(), Some(&plain[..]));
    for wrong in [0, 1, 9_999, 10_001, u32::MAX] {
        assert_eq!(unpack(&packed, wrong), None, "{wrong}");
    }
    let long = vec![7; 5 << 20];
    assert_eq!(packer.pack(&long).len(), long.len());
    assert_eq!(unpack(&[], 0).as_deref(), Some(&[][..]));
}

#[test]
fn a_broken_byte_is_told_before_anything_is_unpacked() {
    let (bytes, places) = build(FILE, 0, &pages(200, 40));
    let frames: std::collections::BTreeSet<u32> = places.iter().map(|place| place.frame).collect();
    assert!(frames.len() > 3, "{frames:?}");
    let length = u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes")) as usize;
    for at in (0..length).step_by(1009) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x40;
        let in_front = at < places[0].at() as usize;
        let listed = directory_of(&broken, 0, &mut Vec::new());
        assert!(!in_front || listed.is_none() || at >= HEADER_LEN, "{at}");
        let hit: std::collections::BTreeSet<u32> = places
            .iter()
            .filter_map(|place| match read(&broken, 0, *place) {
                Ok(_) => None,
                Err(BrokenPage::Header | BrokenPage::Crc) => Some(place.frame),
                Err(other) => panic!("{at}: {other}"),
            })
            .collect();
        assert!(hit.len() <= 1 && (hit.is_empty() || !in_front), "{at}: {hit:?}");
    }
    let other = FileId { sequence: 8, ..FILE };
    assert!(Header::parse(bytes.first_chunk().expect("a header"), other).is_none());
    assert!(FrameHeader::parse(&bytes[places[0].at() as usize..], other).is_err());
}

proptest! {
    #[test]
    fn no_bytes_of_an_extent_panic(mut bytes: Vec<u8>, stored in 0..80u32, length in 0..80u32) {
        bytes.resize(bytes.len().max(HEADER_LEN), 0);
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&FILE.number().to_le_bytes());
        let all = bytes.len() as u32;
        bytes[16..20].copy_from_slice(&all.to_le_bytes());
        bytes[20..24].copy_from_slice(&stored.min(all - HEADER_LEN as u32).to_le_bytes());
        bytes[32..36].copy_from_slice(&length.to_le_bytes());
        let end = HEADER_LEN + stored.min(all - HEADER_LEN as u32) as usize;
        let crc = crc32fast::hash(&bytes[8..end]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        directory_of(&bytes, 0, &mut Vec::new());
    }

    #[test]
    fn no_directory_panics(directory in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..60)) {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(&directory);
        let crc = crc32fast::hash(&bytes[8..]);
        let (stored, length) = (directory.len() as u32, bytes.len() as u32 + 160);
        let header = Header { crc, length, directory_stored: stored, directory_len: stored, samples: 0 };
        let mut keys = vec![GroupKey(1), GroupKey(2)];
        if let Some(listed) = read_directory(&bytes, header, 1 << 20, &mut keys) {
            prop_assert!(listed.iter().all(|page| (page.number as usize) < keys.len()));
        }
    }

    #[test]
    fn no_frame_panics(stored: Vec<u8>, length in prop_oneof![0..100u32, any::<u32>()], page: u16) {
        let crc = crc32fast::hash(&stored);
        let header = FrameHeader { stored: stored.len() as u32, length, crc };
        let mut bytes = vec![0; UNIT];
        bytes.extend_from_slice(&stored);
        let place = PageRef { first: 0, frame: 0, frame_len: 0, page };
        if let Ok(frame) = Frame::open(header, &bytes) {
            let _ = frame.page(place);
        }
        let _ = read(&stored, 0, place);
    }
}
