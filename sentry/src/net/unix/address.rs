//! Addresses of unix sockets (unix(7)): `struct sockaddr_un`.

use alloc::vec::Vec;

use crate::{
    errno::{Errno, Result},
    net::AF_UNIX,
};

/// Size of `sun_path`.
const PATH_SIZE: usize = 108;

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UnixAddress {
    /// None: the socket is not bound, or binding is to choose.
    #[default]
    Unnamed,
    /// A name in the file system.
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// From `struct sockaddr_un` with its real length.
    ///
    /// # Errors
    /// EINVAL if it is too short, too long, or of another family.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (family, path) = bytes.split_first_chunk::<2>().ok_or(Errno::EINVAL)?;
        if u16::from_ne_bytes(*family) != AF_UNIX || path.len() > PATH_SIZE {
            return Err(Errno::EINVAL);
        }
        Ok(match path {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(name.to_vec()),
            path => Self::Path(path.iter().copied().take_while(|byte| *byte != 0).collect()),
        })
    }

    /// As `struct sockaddr_un`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
            Self::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_end_at_nul_and_abstract_names_do_not() {
        assert_eq!(UnixAddress::decode(b"\x01\0/a\0b"), Ok(UnixAddress::Path(b"/a".to_vec())));
        let name = UnixAddress::Abstract(b"a\0b".to_vec());
        assert_eq!(UnixAddress::decode(b"\x01\0\0a\0b"), Ok(name));
        assert_eq!(UnixAddress::decode(b"\x01\0"), Ok(UnixAddress::Unnamed));
        assert_eq!(UnixAddress::decode(b"\x02\0/a"), Err(Errno::EINVAL));
        assert_eq!(UnixAddress::decode(b"\x01"), Err(Errno::EINVAL));
    }

    proptest! {
        #[test]
        fn what_decodes_survives_encoding(bytes: Vec<u8>) {
            let mut whole = AF_UNIX.to_ne_bytes().to_vec();
            whole.extend(bytes);
            if let Ok(address) = UnixAddress::decode(&whole) {
                prop_assert_eq!(UnixAddress::decode(&address.encode()), Ok(address));
            }
        }
    }
}
