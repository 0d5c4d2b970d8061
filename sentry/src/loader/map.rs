//! Mapping of an ELF image into an address space.

use alloc::sync::Arc;

use super::elf::{Image, Segment};
use crate::{
    errno::{Errno, Result},
    memory::PAGE_SIZE,
    mm::{MapRequest, MapSource, Mm, Placement, UserAddress},
    platform::Protection,
    vfs::OpenFile,
};

const PAGE: u64 = PAGE_SIZE as u64;

/// Maps all segments of `image` at their addresses plus `bias`.
///
/// # Errors
/// ENOMEM, EPERM below the lowest address, ENODEV if the file cannot be mapped, EFAULT if the file
/// is shorter than its headers say.
pub async fn map_image(mm: &Arc<Mm>, file: &Arc<OpenFile>, image: &Image, bias: u64) -> Result<()> {
    for segment in &image.segments {
        map_segment(mm, file, segment, bias).await?;
    }
    Ok(())
}

async fn map_segment(
    mm: &Arc<Mm>,
    file: &Arc<OpenFile>,
    segment: &Segment,
    bias: u64,
) -> Result<()> {
    let address = segment.address.checked_add(bias).ok_or(Errno::ENOMEM)?;
    let start = address & !(PAGE - 1);
    let skew = address - start;
    let file_end = address + segment.file_size;
    let end = page_up(address + segment.memory_size);
    if segment.file_size > 0 {
        let source = MapSource::File {
            cache: file.file.page_cache()?,
            offset: segment.offset - skew,
            file: Some(file.clone()),
        };
        let length = skew + segment.file_size;
        mm.map(MapRequest::new(length, segment.protection, source).fixed(start))?;
    }
    let mapped_end = if segment.file_size > 0 { page_up(file_end) } else { start };
    if mapped_end < end {
        let request = MapRequest::new(end - mapped_end, segment.protection, MapSource::Anonymous);
        mm.map(request.fixed(mapped_end))?;
    }
    let tail = mapped_end.saturating_sub(file_end);
    let has_zeros = segment.memory_size > segment.file_size && segment.file_size > 0;
    if has_zeros && tail > 0 && segment.protection.contains(Protection::WRITE) {
        let zeros = [0; PAGE_SIZE];
        let length = usize::try_from(tail).map_err(|_| Errno::ENOMEM)?;
        let zeros = zeros.get(..length).ok_or(Errno::ENOMEM)?;
        mm.copy_out(UserAddress(file_end), zeros).await?;
    }
    Ok(())
}

/// Finds room for all of a movable `image` and answers its bias. The address space has no other
/// user yet, so the room stays free until it is mapped.
///
/// # Errors
/// ENOMEM.
pub fn place_image(mm: &Mm, image: &Image, wish: u64) -> Result<u64> {
    let length = page_up(image.end()).checked_sub(image.start()).ok_or(Errno::ENOMEM)?;
    let slack = image.alignment - PAGE;
    let room = length.checked_add(slack).ok_or(Errno::ENOMEM)?;
    let reservation = MapRequest {
        placement: Placement::Anywhere(wish),
        ..MapRequest::new(room, Protection::empty(), MapSource::Anonymous)
    };
    let address = mm.map(reservation)?;
    mm.unmap(address, room)?;
    let aligned = address.next_multiple_of(image.alignment);
    aligned.checked_sub(image.start()).ok_or(Errno::ENOMEM)
}

/// `address` rounded up to a page.
pub const fn page_up(address: u64) -> u64 {
    address.saturating_add(PAGE - 1) & !(PAGE - 1)
}
