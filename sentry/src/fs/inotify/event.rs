//! Events and their encoding (inotify(7)).
#![allow(missing_docs, reason = "events keep the names of their man pages")]

use alloc::vec::Vec;

use bitflags::bitflags;

use crate::vfs::Name;

bitflags! {
    /// What happened, and how to watch, with the numbers of inotify(7).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        const ACCESS = 0x1;
        const MODIFY = 0x2;
        const ATTRIB = 0x4;
        const CLOSE_WRITE = 0x8;
        const CLOSE_NOWRITE = 0x10;
        const OPEN = 0x20;
        const MOVED_FROM = 0x40;
        const MOVED_TO = 0x80;
        const CREATE = 0x100;
        const DELETE = 0x200;
        const DELETE_SELF = 0x400;
        const MOVE_SELF = 0x800;
        const QUEUE_OVERFLOW = 0x4000;
        const IGNORED = 0x8000;
        const ONLY_DIRECTORY = 0x100_0000;
        const DONT_FOLLOW = 0x200_0000;
        const EXCLUDE_UNLINKED = 0x400_0000;
        const MASK_CREATE = 0x1000_0000;
        const MASK_ADD = 0x2000_0000;
        const IS_DIRECTORY = 0x4000_0000;
        const ONE_SHOT = 0x8000_0000;
    }
}

impl Events {
    /// All that can happen and be watched for (IN_ALL_EVENTS).
    pub const WATCHABLE: Self = Self::from_bits_retain(0xfff);
}

/// Size of `struct inotify_event` without its name.
const HEADER_SIZE: usize = 16;

/// One queued event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which watch; -1 for [`Events::QUEUE_OVERFLOW`].
    pub watch: i32,
    /// What happened.
    pub events: Events,
    /// The same for both events of a rename; else 0.
    pub cookie: u32,
    /// The name in the watched directory.
    pub name: Option<Name>,
}

impl Event {
    /// Bytes that reading it takes.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.name_size()
    }

    /// Bytes of the name with its padding; as in Linux a multiple of the header's.
    fn name_size(&self) -> usize {
        self.name.as_ref().map_or(0, |name| (name.len() + 1).next_multiple_of(HEADER_SIZE))
    }

    /// `struct inotify_event`.
    pub fn encode(&self) -> Vec<u8> {
        let name_size = self.name_size();
        let mut bytes = Vec::with_capacity(HEADER_SIZE + name_size);
        bytes.extend(self.watch.to_ne_bytes());
        bytes.extend(self.events.bits().to_ne_bytes());
        bytes.extend(self.cookie.to_ne_bytes());
        bytes.extend(u32::try_from(name_size).unwrap_or(0).to_ne_bytes());
        bytes.extend(self.name.iter().flat_map(|name| name.iter()));
        bytes.resize(HEADER_SIZE + name_size, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded() {
        let event = |name: Option<&[u8]>| Event {
            watch: 1,
            events: Events::CREATE,
            cookie: 7,
            name: name.map(Name::from),
        };
        assert_eq!(event(None).encode().len(), 16);
        let bytes = event(Some(b"fifteen letters")).encode();
        assert_eq!(bytes[..16], [1, 0, 0, 0, 0, 1, 0, 0, 7, 0, 0, 0, 16, 0, 0, 0]);
        assert_eq!(&bytes[16..], b"fifteen letters\0");
        assert_eq!(event(Some(b"sixteen letters!")).size(), 48);
    }
}
