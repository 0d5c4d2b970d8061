//! Sizes as users write them.

/// Bytes from a number with an optional binary suffix k, m, g or t in either case.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn suffixes_are_binary() {
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("65536k"), Some(64 << 20));
        assert_eq!(parse("2G"), Some(2 << 30));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "k", "1x", "1kb", "-1", "50%", "99999999999g", "1 g", "Ω"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
