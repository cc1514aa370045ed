//! The arguments of `lakechat chat`.

use reqwest::Url;

use lakechat_core::domain::{ChannelName, UserName};

/// Chat in the terminal
///
/// Asks for the password, unless it is in LAKECHAT_PASSWORD; if standard input is not a terminal, the
/// password is its first line. The login is saved in the XDG state folder (~/.local/state/lakechat), so
/// that the next start needs no password.
#[derive(Debug, clap::Args)]
pub struct ChatArgs {
    /// The URL of the server
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(super) url: Url,
    /// The user name; the name of the user on this machine unless given
    #[arg(long, env = "USER", hide_env_values = true, value_parser = user_name, value_name = "NAME")]
    pub(super) user: UserName,
    /// The channel to join
    #[arg(long, default_value = ChannelName::GENERAL, value_parser = channel_name, value_name = "NAME")]
    pub(super) channel: ChannelName,
    /// Create the account first
    #[arg(long)]
    pub(super) register: bool,
}

fn user_name(text: &str) -> Result<UserName, &'static str> {
    UserName::parse(text)
        .map_err(|_| "1 to 32 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}

fn channel_name(text: &str) -> Result<ChannelName, &'static str> {
    ChannelName::parse(text)
        .map_err(|_| "1 to 64 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}
