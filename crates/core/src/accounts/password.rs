//! The rules for passwords.

use crate::domain::{Code, Problem};

const LEAST_CHARACTERS: usize = 8;

/// The hash accepts any length. The bound rejects a client's mistake, such as a file sent as a
/// password.
const MOST_BYTES: usize = 1024;

pub fn check(password: &str) -> Result<(), Problem> {
    if password.chars().count() < LEAST_CHARACTERS {
        let text = format!("A password has at least {LEAST_CHARACTERS} characters.");
        return Err(refused(Code::PasswordTooShort, text, LEAST_CHARACTERS));
    }
    if password.len() > MOST_BYTES {
        let text = format!("A password has at most {MOST_BYTES} bytes of UTF-8.");
        return Err(refused(Code::PasswordTooLong, text, MOST_BYTES));
    }
    Ok(())
}

fn refused(code: Code, text: String, limit: usize) -> Problem {
    Problem::new(code, text)
        .field("password")
        .limit(limit as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(password: &str) -> Option<(Code, Option<u64>)> {
        check(password).err().map(|p| (p.code, p.limit))
    }

    #[test]
    fn eight_characters_to_a_kibibyte_are_a_password() {
        assert_eq!(refusal("1234567"), Some((Code::PasswordTooShort, Some(8))));
        assert_eq!(refusal("12345678"), None);
        assert_eq!(refusal("ÄÖÜäöüßé"), None, "characters, not bytes");
        assert_eq!(refusal(&"x".repeat(1024)), None);
        assert_eq!(
            refusal(&"x".repeat(1025)),
            Some((Code::PasswordTooLong, Some(1024)))
        );
    }
}
