//! Which pages of a stub are program text, and where they are in sandbox memory.

use std::{collections::BTreeMap, ops::Range};

/// Mappings by their first address: end, and offset in sandbox memory of the first byte.
#[derive(Debug, Default)]
pub struct Texts(BTreeMap<u64, (u64, u64)>);

impl Texts {
    /// Adds the mapping of sandbox memory from `offset` in `range`, where nothing is.
    pub fn insert(&mut self, range: Range<u64>, offset: u64) {
        if !range.is_empty() {
            self.0.insert(range.start, (range.end, offset));
        }
    }

    /// Removes what is in `range`.
    pub fn remove(&mut self, range: &Range<u64>) {
        while let Some((&start, &(end, offset))) = self.0.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.0.remove(&start);
            self.insert(start..range.start, offset);
            if range.end < end {
                self.insert(range.end..end, offset + (range.end - start));
            }
        }
    }

    /// Offset in sandbox memory of what is at `address`.
    pub fn find(&self, address: u64) -> Option<u64> {
        let (start, (end, offset)) = self.0.range(..=address).next_back()?;
        (address < *end).then(|| offset + (address - start))
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_keeps_the_rest_where_it_was() {
        let mut texts = Texts::default();
        texts.insert(0x10000..0x20000, 0x100_0000);
        texts.remove(&(0x14000..0x15000));
        assert_eq!(texts.find(0x13fff), Some(0x100_3fff));
        assert_eq!(texts.find(0x14000), None);
        assert_eq!(texts.find(0x15008), Some(0x100_5008));
        assert_eq!(texts.find(0x20000), None);
        texts.remove(&(0x12000..0x30000));
        assert_eq!(texts.find(0x11000), Some(0x100_1000));
        assert_eq!(texts.find(0x15000), None);
        texts.insert(0x12000..0x13000, 0x5000);
        texts.remove(&(0..u64::MAX));
        assert_eq!(texts.find(0x11000), None);
        assert_eq!(texts.find(0x12000), None);
    }
}
