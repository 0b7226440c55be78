//! Values by small numbers, in pages.
//!
//! Numbers are given out again, so a value must not be looked up by the number of one that was
//! removed. A page's memory goes when its last value goes: a long-lived timer does not hold the
//! memory of a million that came and went beside it.

use std::mem;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// The number of a value.
pub(super) type Id = NonZeroU32;

/// No page, no cell.
const NONE: u32 = u32::MAX;

/// Values by number, `PAGE` to a page.
pub(super) struct Slab<T, const PAGE: usize> {
    pages: Vec<Page<T>>,
    /// The first page that has memory and room, in a list both ways.
    open: u32,
    /// The first page that has no memory, in a list by `next`.
    vacant: u32,
    /// The memory of a page, so that a value that comes and goes does not allocate each time.
    spare: Vec<Cell<T>>,
    len: usize,
}

struct Page<T> {
    cells: Vec<Cell<T>>,
    used: usize,
    /// The first free cell among `cells`.
    free: u32,
    previous: u32,
    next: u32,
}

enum Cell<T> {
    Live(T),
    /// The next free cell of the page.
    Free(u32),
}

const _: () = assert!(size_of::<Cell<super::Timer>>() == 24);

impl<T, const PAGE: usize> Slab<T, PAGE> {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), open: NONE, vacant: NONE, spare: Vec::new(), len: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn place(id: Id) -> (usize, usize) {
        let index = id.get() as usize - 1;
        (index / PAGE, index % PAGE)
    }

    /// Adds the value that `make` makes of its number.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(Id) -> T) -> Id {
        if self.open == NONE {
            self.open_page();
        }
        let number = self.open;
        let page = &mut self.pages[number as usize];
        let cell = if page.free == NONE { page.cells.len() } else { page.free as usize };
        let id = u32::try_from(number as usize * PAGE + cell + 1).ok().and_then(Id::new);
        let id = id.expect("fewer than 2^32 values");
        let live = Cell::Live(make(id));
        match page.cells.get_mut(cell) {
            None => page.cells.push(live),
            Some(cell) => {
                if let Cell::Free(next) = mem::replace(cell, live) {
                    page.free = next;
                }
            }
        }
        page.used += 1;
        self.len += 1;
        if page.used == PAGE {
            self.unlink(number);
        }
        id
    }

    /// The value, out of the slab; `None` if there is none of this number.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let (number, index) = Self::place(id);
        let page = self.pages.get_mut(number)?;
        let cell = page.cells.get_mut(index)?;
        if let Cell::Free(_) = cell {
            return None;
        }
        let cell = mem::replace(cell, Cell::Free(page.free));
        page.free = u32::try_from(index).expect("a page is small");
        let was_full = page.used == PAGE;
        page.used -= 1;
        self.len -= 1;
        let empty = page.used == 0;
        let number = u32::try_from(number).expect("fewer pages than values");
        if was_full {
            self.link(number);
        }
        if empty {
            self.vacate(number);
        }
        match cell {
            Cell::Live(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// Makes a page with room the first of the open ones.
    fn open_page(&mut self) {
        let number = if self.vacant == NONE {
            self.pages.push(Page {
                cells: Vec::new(),
                used: 0,
                free: NONE,
                previous: NONE,
                next: NONE,
            });
            u32::try_from(self.pages.len() - 1).expect("fewer pages than values")
        } else {
            let number = self.vacant;
            self.vacant = self.pages[number as usize].next;
            number
        };
        let mut cells = mem::take(&mut self.spare);
        cells.reserve_exact(PAGE);
        self.pages[number as usize].cells = cells;
        self.link(number);
    }

    /// Lets go of the memory of an empty page.
    fn vacate(&mut self, number: u32) {
        self.unlink(number);
        let page = &mut self.pages[number as usize];
        let mut cells = mem::take(&mut page.cells);
        page.free = NONE;
        page.next = self.vacant;
        self.vacant = number;
        if self.spare.capacity() == 0 {
            cells.clear();
            self.spare = cells;
        }
        if self.len == 0 {
            self.pages = Vec::new();
            self.vacant = NONE;
        }
    }

    /// Puts a page before the open ones.
    fn link(&mut self, number: u32) {
        let next = mem::replace(&mut self.open, number);
        if next != NONE {
            self.pages[next as usize].previous = number;
        }
        let page = &mut self.pages[number as usize];
        page.previous = NONE;
        page.next = next;
    }

    /// Takes a page out of the open ones.
    fn unlink(&mut self, number: u32) {
        let Page { previous, next, .. } = self.pages[number as usize];
        if previous == NONE {
            self.open = next;
        } else {
            self.pages[previous as usize].next = next;
        }
        if next != NONE {
            self.pages[next as usize].previous = previous;
        }
    }

    /// How many values there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pages.iter().map(|page| page.cells.capacity()).sum::<usize>() + self.spare.capacity()
    }
}

/// # Panics
/// If there is no value of this number.
impl<T, const PAGE: usize> Index<Id> for Slab<T, PAGE> {
    type Output = T;

    fn index(&self, id: Id) -> &T {
        let (number, index) = Self::place(id);
        match self.pages.get(number).and_then(|page| page.cells.get(index)) {
            Some(Cell::Live(value)) => value,
            _ => panic!("no value {id} in the slab"),
        }
    }
}

impl<T, const PAGE: usize> IndexMut<Id> for Slab<T, PAGE> {
    fn index_mut(&mut self, id: Id) -> &mut T {
        let (number, index) = Self::place(id);
        match self.pages.get_mut(number).and_then(|page| page.cells.get_mut(index)) {
            Some(Cell::Live(value)) => value,
            _ => panic!("no value {id} in the slab"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), any::<usize>()), 0..400)) {
            let mut slab: Slab<usize, 4> = Slab::new();
            let mut model = BTreeMap::new();
            for (step, (insert, which)) in steps.into_iter().enumerate() {
                if insert {
                    let id = slab.insert_with(|_| step);
                    prop_assert_eq!(model.insert(id, step), None);
                } else if let Some(&id) = model.keys().nth(which % model.len().max(1)) {
                    prop_assert_eq!(slab.remove(id), model.remove(&id));
                    prop_assert_eq!(slab.remove(id), None);
                }
                prop_assert_eq!(slab.len(), model.len());
                for (id, value) in &model {
                    prop_assert_eq!(slab[*id], *value);
                }
                // A page per value at worst, and the spare.
                prop_assert!(slab.capacity() <= 4 * (model.len() + 1));
            }
            for id in model.into_keys() {
                slab.remove(id);
            }
            prop_assert!(slab.pages.is_empty());
        }
    }
}
