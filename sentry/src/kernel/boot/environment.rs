//! What the first program's environment says, and what is missing in it.

use alloc::{string::String, vec::Vec};

/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The value of `name`, the last one if there are several.
pub fn value<'a>(environment: &'a [String], name: &str) -> Option<&'a str> {
    environment.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// The files that `program` may mean: itself if it has a slash, else one in each directory of PATH.
pub fn candidates(environment: &[String], program: &str) -> Vec<String> {
    if program.contains('/') {
        return alloc::vec![program.into()];
    }
    let path = value(environment, "PATH").unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| alloc::format!("{directory}/{program}"))
        .collect()
}

/// The home directory of user `uid` in the text of /etc/passwd (passwd(5)).
pub fn home_directory(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let matches = fields.next()?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (matches && !home.is_empty()).then_some(home)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_and_a_path_is_not() {
        let environment = ["PATH=/a:/b/c".into()];
        assert_eq!(candidates(&environment, "sh"), ["/a/sh", "/b/c/sh"]);
        assert_eq!(candidates(&environment, "./sh"), ["./sh"]);
        assert_eq!(candidates(&[], "sh").len(), 6);
    }

    #[test]
    fn home_comes_from_the_user_table() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nuser:x:1000:1000::/home/user:/bin/sh";
        assert_eq!(home_directory(passwd, 1000), Some("/home/user"));
        assert_eq!(home_directory(passwd, 7), None);
    }
}
