//! The rules for passwords, and the form in which they are hashed.
//!
//! A keyboard may write `ö` as one character or as two, and a space in several ways. The profile
//! OpaqueString of RFC 8265 gives all spellings of a password one form.

use passwords::analyzer::is_common_password;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

use crate::domain::{Code, Problem, UserName};

const LEAST_CHARACTERS: usize = 8;

/// The hash accepts any length. The bound rejects a client's mistake, such as a file sent as a
/// password.
const MOST_BYTES: usize = 1024;

/// The form in which a user's new password is hashed, if it may be one.
pub fn prepare(password: &str, user: &UserName) -> Result<String, Problem> {
    check_bytes(password)?;
    if password.chars().count() < LEAST_CHARACTERS {
        return Err(too_short());
    }
    let prepared = enforce(password).ok_or_else(unusable)?;
    check_bytes(&prepared)?;
    if prepared.chars().count() < LEAST_CHARACTERS {
        return Err(too_short());
    }
    check_guessable(&prepared.to_lowercase(), user)?;
    Ok(prepared)
}

/// Refuses what is tried first by those who guess. Case makes no difference to them.
fn check_guessable(lower_case: &str, user: &UserName) -> Result<(), Problem> {
    if lower_case.replace(user.as_str(), "").is_empty() {
        let text = "The password is the user name; choose another one.";
        return Err(refused(Code::PasswordTooCommon, text.to_owned()));
    }
    if is_common_password(lower_case) {
        let text = "This is one of the passwords that are used most, and guessed first; choose \
                    another one.";
        return Err(refused(Code::PasswordTooCommon, text.to_owned()));
    }
    Ok(())
}

/// The forms in which a password may have been hashed: the prepared one, and as it was sent. Hashes
/// of earlier releases are of passwords as they were sent.
pub fn candidates(password: &str) -> Vec<String> {
    let mut candidates: Vec<_> = enforce(password).into_iter().collect();
    if candidates
        .first()
        .is_none_or(|prepared| prepared != password)
    {
        candidates.push(password.to_owned());
    }
    candidates
}

fn enforce(password: &str) -> Option<String> {
    let prepared = OpaqueString::enforce(password).ok()?;
    Some(prepared.into_owned())
}

fn check_bytes(password: &str) -> Result<(), Problem> {
    match password.len() > MOST_BYTES {
        true => {
            let text = format!("A password has at most {MOST_BYTES} bytes of UTF-8.");
            Err(refused(Code::PasswordTooLong, text).limit(MOST_BYTES as u64))
        }
        false => Ok(()),
    }
}

fn too_short() -> Problem {
    let text = format!("A password has at least {LEAST_CHARACTERS} characters.");
    refused(Code::PasswordTooShort, text).limit(LEAST_CHARACTERS as u64)
}

fn unusable() -> Problem {
    let text = "A password consists of letters, digits, punctuation, symbols and spaces of any \
                script; control characters and characters without an assigned meaning are not \
                allowed.";
    refused(Code::FieldInvalid, text.to_owned())
}

fn refused(code: Code, text: String) -> Problem {
    Problem::new(code, text).field("password")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(password: &str) -> Option<(Code, Option<u64>)> {
        prepare(password, &ann()).err().map(|p| (p.code, p.limit))
    }

    fn ann() -> UserName {
        UserName::parse("ann").expect("a name")
    }

    #[test]
    fn eight_characters_to_a_kibibyte_are_a_password() {
        assert_eq!(refusal("1234567"), Some((Code::PasswordTooShort, Some(8))));
        assert_eq!(refusal("7 4 2 9."), None);
        assert_eq!(refusal("ÄÖÜäöüßé"), None, "characters, not bytes");
        assert_eq!(refusal(&"x".repeat(1024)), None);
        assert_eq!(
            refusal(&"x".repeat(1025)),
            Some((Code::PasswordTooLong, Some(1024)))
        );
        let seven_as_fourteen = "o\u{308}".repeat(7);
        let short = Some((Code::PasswordTooShort, Some(8)));
        assert_eq!(refusal(&seven_as_fourteen), short, "one ö is one character");
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for password in [
            "password",
            "Password1",
            "12345678",
            "QWERTYUIOP",
            "iloveyou",
            "annannann",
            "AnnAnnAnn",
        ] {
            assert_eq!(
                refusal(password),
                Some((Code::PasswordTooCommon, None)),
                "{password}"
            );
        }
        assert_eq!(refusal("correct horse"), None);
        assert_eq!(refusal("ann and bob"), None);
    }

    #[test]
    fn spellings_of_one_password_have_one_form() {
        let spellings = [
            "sch\u{f6}ne Gr\u{fc}\u{df}e",
            "scho\u{308}ne Gru\u{308}\u{df}e",
            "sch\u{f6}ne\u{a0}Gr\u{fc}\u{df}e",
            "scho\u{308}ne\u{3000}Gr\u{fc}\u{df}e",
        ];
        for spelling in spellings {
            assert_eq!(
                prepare(spelling, &ann()).expect("good"),
                spellings[0],
                "{spelling:?}"
            );
            assert_eq!(candidates(spelling)[0], spellings[0], "{spelling:?}");
        }
        assert_eq!(candidates(spellings[0]), [spellings[0]]);
        assert_eq!(candidates(spellings[1]), [spellings[0], spellings[1]]);
    }

    #[test]
    fn case_width_and_symbols_are_kept() {
        for password in [
            "Correct Horse",
            "ＦＵＬＬ ｗｉｄｔｈ",
            "🐎🔋📎 correct",
            "\u{644}\u{627} \u{5d0} mixed",
        ] {
            assert_eq!(prepare(password, &ann()).expect("good"), password);
        }
    }

    #[test]
    fn control_characters_are_refused_but_stay_comparable() {
        for password in [
            "correct\u{0}horse",
            "correct\u{7}horse",
            "correct\thorse",
            "correct\u{e0041}horse",
        ] {
            assert_eq!(
                refusal(password),
                Some((Code::FieldInvalid, None)),
                "{password:?}"
            );
            assert_eq!(candidates(password), [password]);
        }
        assert_eq!(candidates(""), [""]);
    }
}
