//! Control data (cmsg(3)): what user code writes beside a message, and reads beside one.

use alloc::{sync::Arc, vec::Vec};

use super::super::FileDescriptor;
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, Resource},
    net::{
        PeerCredentials,
        message::{Control, MessageFlags, Received},
    },
    vfs::OpenFile,
};

const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;
const SCM_CREDENTIALS: u32 = 2;

/// The most descriptors in one message (SCM_MAX_FD).
const MAX_FILES: usize = 253;

/// Size of `struct cmsghdr`.
const HEADER: usize = 16;

/// Size of `struct ucred`.
const CREDENTIALS: usize = 12;

/// The largest control data of one message, in bytes (net.core.optmem_max).
pub(super) const MAX_CONTROL: u64 = 128 << 10;

/// One element of control data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element<'a> {
    level: u32,
    kind: u32,
    data: &'a [u8],
}

/// Splits control data into its elements.
///
/// # Errors
/// EINVAL if a length is impossible.
fn elements(mut bytes: &[u8]) -> Result<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<HEADER>() {
        let length = usize::try_from(u64::from_ne_bytes(*first(header, 0)?));
        let length = length.map_err(|_| Errno::EINVAL)?;
        found.push(Element {
            level: u32::from_ne_bytes(*first(header, 8)?),
            kind: u32::from_ne_bytes(*first(header, 12)?),
            data: bytes.get(HEADER..length).ok_or(Errno::EINVAL)?,
        });
        bytes = bytes.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(found)
}

/// The `N` bytes at `offset`.
fn first<const N: usize>(bytes: &[u8], offset: usize) -> Result<&[u8; N]> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).ok_or(Errno::EINVAL)
}

/// What `bytes` asks to send beside a message.
///
/// # Errors
/// EINVAL, EBADF, EPERM for the credentials of another.
pub(super) fn decode(current: &Current, bytes: &[u8]) -> Result<Control> {
    let mut control = Control {
        credentials: Some(PeerCredentials::of(current)),
        in_flight_limit: current.process().limit(Resource::OpenFiles).soft,
        ..Control::default()
    };
    for element in elements(bytes)? {
        match (element.level, element.kind) {
            (SOL_SOCKET, SCM_RIGHTS) => control.files.extend(files(current, element.data)?),
            (SOL_SOCKET, SCM_CREDENTIALS) => {
                control.credentials = Some(credentials(current, element.data)?);
            }
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            // Linux passes over the levels of other protocols.
            _ => {}
        }
    }
    if control.files.len() > MAX_FILES { Err(Errno::EINVAL) } else { Ok(control) }
}

fn files(current: &Current, data: &[u8]) -> Result<Vec<Arc<OpenFile>>> {
    let (numbers, _) = data.as_chunks::<4>();
    numbers
        .iter()
        .map(|number| current.files.get_any(FileDescriptor(i32::from_ne_bytes(*number))))
        .collect()
}

/// The credentials in `data`, if the caller may claim them (unix(7), SCM_CREDENTIALS).
fn credentials(current: &Current, data: &[u8]) -> Result<PeerCredentials> {
    let own = current.credentials();
    let claimed = PeerCredentials {
        pid: u32::from_ne_bytes(*first(data, 0)?),
        uid: own.named_user(u32::from_ne_bytes(*first(data, 4)?))?,
        gid: own.named_group(u32::from_ne_bytes(*first(data, 8)?))?,
    };
    let pid = claimed.pid == current.process().pid() || own.has(Capabilities::SYS_ADMIN);
    let uid = [own.uid, own.effective_uid, own.saved_uid].contains(&claimed.uid)
        || own.has_in_own(Capabilities::SETUID);
    let gid = [own.gid, own.effective_gid, own.saved_gid].contains(&claimed.gid)
        || own.has_in_own(Capabilities::SETGID);
    if pid && uid && gid { Ok(claimed) } else { Err(Errno::EPERM) }
}

/// Writes what was received into `room` bytes of control data, and installs the descriptors for
/// which there is room. The flags say whether something did not fit.
pub(super) fn encode(
    current: &Current,
    received: Received,
    pass_credentials: bool,
    room: usize,
    flags: MessageFlags,
) -> (Vec<u8>, MessageFlags) {
    let mut bytes = Vec::new();
    let mut answered = MessageFlags::empty();
    if pass_credentials {
        let sender = received.credentials.unwrap_or_default();
        let own = current.credentials();
        let fields = [sender.pid, own.shown_user(sender.uid), own.shown_group(sender.gid)];
        let data: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
        if room >= HEADER + CREDENTIALS {
            append(&mut bytes, SCM_CREDENTIALS, &data, room);
        } else {
            answered |= MessageFlags::CONTROL_TRUNCATED;
        }
    }
    if !received.files.is_empty() {
        let left = room.saturating_sub(bytes.len() + HEADER) / 4;
        let wanted = received.files.len();
        let numbers = install(current, received.files, left, flags);
        if numbers.len() < wanted {
            answered |= MessageFlags::CONTROL_TRUNCATED;
        }
        let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        if !data.is_empty() {
            append(&mut bytes, SCM_RIGHTS, &data, room);
        }
    }
    (bytes, answered)
}

/// Installs the first `limit` files, as far as descriptors are free; the others are closed.
fn install(
    current: &Current,
    files: Vec<Arc<OpenFile>>,
    limit: usize,
    flags: MessageFlags,
) -> Vec<i32> {
    let close_on_exec = flags.contains(MessageFlags::CLOSE_ON_EXEC);
    let most = current.process().limit(Resource::OpenFiles).soft;
    let install = |file| current.files.install(file, close_on_exec, most).ok();
    files.into_iter().take(limit).map_while(install).map(|descriptor| descriptor.0).collect()
}

/// Appends an element; the padding after it only as far as there is room.
fn append(bytes: &mut Vec<u8>, kind: u32, data: &[u8], room: usize) {
    let length = (HEADER + data.len()) as u64;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&SOL_SOCKET.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8).min(room), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_survive_encoding() {
        let mut bytes = Vec::new();
        append(&mut bytes, SCM_RIGHTS, &[1; 4], 100);
        append(&mut bytes, SCM_CREDENTIALS, &[2; 12], 100);
        let found = elements(&bytes).unwrap();
        let right = Element { level: SOL_SOCKET, kind: SCM_RIGHTS, data: &[1; 4] };
        let sender = Element { level: SOL_SOCKET, kind: SCM_CREDENTIALS, data: &[2; 12] };
        assert_eq!(found, [right, sender]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0_u64, 15, 40, u64::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(24, 0);
            assert_eq!(elements(&bytes), Err(Errno::EINVAL));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            let _ = elements(&bytes);
        }
    }
}
