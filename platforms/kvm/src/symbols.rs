//! Names for addresses in the ring-0 image.

use elf::{ElfBytes, endian::LittleEndian, symbol::Symbol};
use guest_abi::kvm::IMAGE_VIRTUAL_OFFSET;

use crate::image::IMAGE;

/// A line of a backtrace for the low half of an address that the guest wrote (see
/// [`guest_abi::kvm::BACKTRACE_PORT`]).
pub fn describe(low_half: &[u8]) -> String {
    let Ok(low_half) = low_half.try_into().map(u32::from_le_bytes) else {
        return "  at an address that is no address".to_owned();
    };
    let address = IMAGE_VIRTUAL_OFFSET & !u64::from(u32::MAX) | u64::from(low_half);
    match name_of(address) {
        Some((name, offset)) => format!("  at {address:#x} {name}+{offset:#x}"),
        None => format!("  at {address:#x}"),
    }
}

/// The function that `address` lies in, and how far.
fn name_of(address: u64) -> Option<(String, u64)> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE).ok()?;
    let (symbols, names) = file.symbol_table().ok()??;
    let contains =
        |symbol: &Symbol| (symbol.st_value..symbol.st_value + symbol.st_size).contains(&address);
    let symbol = symbols.iter().find(contains)?;
    let name = names.get(usize::try_from(symbol.st_name).ok()?).ok()?;
    Some((format!("{:#}", rustc_demangle::demangle(name)), address - symbol.st_value))
}

#[cfg(all(test, has_image))]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_the_image_have_names() {
        let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE).unwrap();
        let (symbols, names) = file.symbol_table().unwrap().unwrap();
        let named = |symbol: &Symbol| {
            names.get(symbol.st_name as usize).is_ok_and(|name| name.contains("handle_kernel_trap"))
        };
        let symbol = symbols.iter().find(named).unwrap();
        let text = describe(&(symbol.st_value as u32 + 1).to_le_bytes());
        assert!(text.ends_with("::trap::handle_kernel_trap+0x1"), "{text}");
    }

    #[test]
    fn other_addresses_stay_numbers() {
        assert_eq!(describe(&0x1234_u32.to_le_bytes()), "  at 0xffffffff00001234");
        assert!(describe(&[1, 2]).contains("no address"));
    }
}
