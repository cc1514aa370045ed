//! The arguments of `lakechat chat`.

use reqwest::Url;

use crate::cli::password::PasswordArgs;
use lakechat_core::domain::{ChannelName, UserName};

/// clap wraps the paragraphs.
const AFTER_HELP: &str = "\
Lines that begin with a slash are commands; /help lists them. With --text every line of piped input \
is a message, \"/var/log is full\" too. Bytes that are not UTF-8 are sent as replacement characters.

When piped input has ended, the client waits up to 30 s for the last answers. The exit code is 0 if \
every line was sent and every command was done, else 1, and the output names what was not. An \
unknown command is not done, so it fails the script. If the channel can't be joined or the membership ends, the rest of the input is not \
sent: nothing goes to another channel.

The password comes from the first line of the input (--password-stdin), from a file \
(--password-file), from LAKECHAT_PASSWORD, which other processes of the same user can see, or from \
the terminal. The login is saved in the XDG state folder (~/.local/state/lakechat), so that the next \
start needs no password; if that folder can't be written, nothing is saved.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY apply, except for servers on this machine.";

/// Chat in the terminal, or send the lines of a script
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ChatArgs {
    #[command(flatten)]
    pub(super) login: LoginArgs,
    /// The channel to join
    #[arg(long, default_value = ChannelName::GENERAL, value_parser = channel_name, value_name = "NAME")]
    pub(super) channel: ChannelName,
    /// Send every line of piped input as it is, also those that begin with a slash
    #[arg(long)]
    pub(super) text: bool,
}

/// The server, and whose account is used there.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LoginArgs {
    /// The URL of the server; on other hosts it must begin with https://
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = server, value_name = "URL")]
    pub(super) url: Url,
    /// The user name; the name of the user on this machine unless given
    #[arg(long, env = "USER", hide_env_values = true, value_parser = user_name, value_name = "NAME")]
    pub(super) user: UserName,
    /// Create the account first
    #[arg(long)]
    pub(super) register: bool,
    /// The invite with which to create it, if the server takes one
    #[arg(long, requires = "register", value_name = "CODE")]
    pub(super) invite: Option<String>,
    #[command(flatten)]
    pub(super) password: PasswordArgs,
    /// Allow http:// to other hosts: everybody on the way can read the password and everything else
    #[arg(long)]
    pub(super) insecure: bool,
}

/// Parses the URL of a server.
pub(in crate::cli) fn server(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok();
    let is_server = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    url.filter(is_server)
        .ok_or("a URL such as https://chat.example.org or http://127.0.0.1:8080")
}

pub(in crate::cli) fn user_name(text: &str) -> Result<UserName, &'static str> {
    UserName::parse(text)
        .map_err(|_| "1 to 32 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}

fn channel_name(text: &str) -> Result<ChannelName, &'static str> {
    ChannelName::parse(text)
        .map_err(|_| "1 to 64 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}
