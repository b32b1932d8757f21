//! Lists that live as long as a group or its owner's description of it, by the hundred thousand. `Vec` doubles when it is full, and half of what it takes
//! then is never used; these grow by an eighth.

/// Adds to the end.
pub fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        reserve(list, 2);
    }
    list.push(item);
}

/// Makes room for so many more.
pub fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
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
