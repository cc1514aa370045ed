//! Refusals of registrations, logins and refreshes.

use crate::domain::{Code, Problem, UserName};

pub fn username_invalid() -> Problem {
    let text = "A user name has 1 to 32 characters out of a-z, 0-9, '.', '_' and '-', and begins \
                with a letter or digit.";
    Problem::new(Code::UsernameInvalid, text).field("username")
}

pub fn registration_closed() -> Problem {
    Problem::new(
        Code::RegistrationClosed,
        "Registration is closed on this server; ask an operator for an account.",
    )
}

pub fn reserved(name: &UserName) -> Problem {
    let text = format!("The name {name} is reserved; choose another one.");
    Problem::new(Code::UsernameTaken, text).field("username")
}

pub fn taken(name: &UserName) -> Problem {
    let text = format!("The name {name} is taken; choose another one.");
    Problem::new(Code::UsernameTaken, text).field("username")
}

pub fn admin_required() -> Problem {
    Problem::new(
        Code::AdminRequired,
        "Only admins of the server can do this.",
    )
}

pub fn last_admin() -> Problem {
    Problem::new(
        Code::LastAdmin,
        "This is the last admin who can log in; make another user an admin first.",
    )
}

pub fn account_disabled() -> Problem {
    Problem::new(
        Code::AccountDisabled,
        "This account is disabled; contact an operator.",
    )
}

pub fn invalid_credentials() -> Problem {
    Problem::new(
        Code::InvalidCredentials,
        "There is no such user, or the password is wrong.",
    )
}

pub fn not_a_refresh_token() -> Problem {
    Problem::new(
        Code::NotAuthenticated,
        "This refresh token was not issued by this service; log in to get one.",
    )
}

pub fn not_the_valid_refresh_token() -> Problem {
    Problem::new(
        Code::NotAuthenticated,
        "This refresh token was never issued or has been replaced; use the newest one of its login, \
         or log in again.",
    )
}

pub fn changed_meanwhile() -> Problem {
    let text = "The account was changed by another request at the same time; try again.";
    Problem::new(Code::DirectoryUnavailable, text).retry_after_ms(100)
}

pub fn invite_invalid() -> Problem {
    let text = "Registration needs a valid invite. This one is unknown, expired or used up; ask an \
                operator for another one.";
    Problem::new(Code::InviteInvalid, text).field("invite")
}

pub fn invite_not_found() -> Problem {
    Problem::new(Code::InviteNotFound, "There is no such invite.")
}
