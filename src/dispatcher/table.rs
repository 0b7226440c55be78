//! Jobs by key: a table of pages, for keys that count up.
//!
//! Keys come from one counter, so a page per 256 keys makes lookup an index and neighbours
//! in time neighbours in memory. A page goes when its last job goes.

use std::collections::VecDeque;

const PAGE: u64 = 256;

/// A map from increasing `u64` keys.
pub(crate) struct Table<V> {
    /// The number of the page at the front.
    first: u64,
    pages: VecDeque<Option<Box<Page<V>>>>,
}

struct Page<V> {
    used: u32,
    slots: Box<[Option<V>]>,
}

impl<V> Table<V> {
    pub(crate) fn new() -> Self {
        Self { first: 0, pages: VecDeque::new() }
    }

    fn place(key: u64) -> (u64, usize) {
        (key / PAGE, usize::try_from(key % PAGE).unwrap_or_default())
    }

    fn page(&self, number: u64) -> Option<&Page<V>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.pages.get(index)?.as_deref()
    }

    fn page_mut(&mut self, number: u64) -> Option<&mut Page<V>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.pages.get_mut(index)?.as_deref_mut()
    }

    pub(crate) fn get(&self, key: u64) -> Option<&V> {
        let (number, slot) = Self::place(key);
        self.page(number)?.slots[slot].as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let (number, slot) = Self::place(key);
        self.page_mut(number)?.slots[slot].as_mut()
    }

    /// The value of the key, made by `make` if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: u64, make: impl FnOnce() -> V) -> &mut V {
        let (number, slot) = Self::place(key);
        if self.pages.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.pages.push_front(None);
            self.first -= 1;
        }
        let index = usize::try_from(number - self.first).expect("as many pages as fit in memory");
        while self.pages.len() <= index {
            self.pages.push_back(None);
        }
        let page = self.pages[index].get_or_insert_with(|| {
            Box::new(Page { used: 0, slots: (0..PAGE).map(|_| None).collect() })
        });
        let slot = &mut page.slots[slot];
        if slot.is_none() {
            page.used += 1;
        }
        slot.get_or_insert_with(make)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<V> {
        let (number, slot) = Self::place(key);
        let page = self.page_mut(number)?;
        let value = page.slots[slot].take()?;
        page.used -= 1;
        let empty = page.used == 0;
        if empty {
            let index = usize::try_from(number - self.first).expect("the page was there");
            self.pages[index] = None;
            while matches!(self.pages.front(), Some(None)) {
                self.pages.pop_front();
                self.first += 1;
            }
            while matches!(self.pages.back(), Some(None)) {
                self.pages.pop_back();
            }
        }
        Some(value)
    }

    /// All values in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.pages
            .iter()
            .zip(self.first..)
            .filter_map(|(page, number)| Some((page.as_ref()?, number)))
            .flat_map(|(page, number)| {
                page.slots
                    .iter()
                    .zip(number * PAGE..)
                    .filter_map(|(slot, key)| slot.as_ref().map(|value| (key, value)))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(steps in prop::collection::vec((0_u64..3000, any::<bool>()), 0..400)) {
            let mut table = Table::new();
            let mut model = BTreeMap::new();
            for (step, (key, insert)) in steps.into_iter().enumerate() {
                if insert {
                    let expected = *model.entry(key).or_insert(step);
                    prop_assert_eq!(*table.get_or_insert_with(key, || step), expected);
                } else {
                    prop_assert_eq!(table.remove(key), model.remove(&key));
                }
            }
            let all: Vec<_> = table.iter().map(|(key, value)| (key, *value)).collect();
            prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
            for key in 0..3000 {
                prop_assert_eq!(table.get(key), model.get(&key));
            }
        }
    }

    #[test]
    fn pages_without_jobs_are_let_go() {
        let mut table = Table::new();
        for key in 0..10_000 {
            table.get_or_insert_with(key, || key);
        }
        for key in 0..10_000 {
            table.remove(key);
        }
        assert!(table.pages.is_empty());
        table.get_or_insert_with(1 << 40, || 7);
        assert_eq!(table.pages.len(), 1);
    }
}
