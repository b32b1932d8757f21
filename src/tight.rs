//! Lists that live as long as a host, by the hundred thousand. `Vec` doubles when it is full, and half of what it takes
//! then is never used; these grow by an eighth.

/// Adds to the end.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    const LEAST: usize = 2;
    if list.len() == list.capacity() {
        list.reserve_exact(LEAST.max(list.len() / 8));
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_list_has_little_room_it_does_not_use() {
        let mut list = Vec::new();
        for item in 0..1000 {
            super::push(&mut list, item);
            assert!(list.capacity() <= list.len() + 1 + list.len() / 8);
        }
        assert!(list.into_iter().eq(0..1000));
    }
}
