//! The arguments of `lakechat simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;
use reqwest::Url;

use crate::cli::chat::server;
use lakechat_core::domain::UserName;

/// Longest prefix: the names of users, of at most 32 characters, end with a hyphen and a number.
const PREFIX_CHARS: usize = 24;

const AFTER_HELP: &str = "\
Examples:
  Twenty people for half a minute:
    lakechat simulate http://127.0.0.1:8080

  The server is killed twice and starts again (at first: lakechat serve & echo $! >lakechat.pid).
  Everybody has to be back within 10 s:
    lakechat simulate http://127.0.0.1:8080 --duration 1m --kill-at 15s,40s --reconnect-within 10s \\
      --kill 'kill -9 $(cat lakechat.pid); sleep 1; lakechat serve 2>>lakechat.log & echo $! >lakechat.pid'

  A thousand people behind a balancer for an hour, and a fault about every 5 minutes:
    lakechat simulate https://chat.example.org --users 1000 --channels 50 --rate 500 --ramp 1m \\
      --duration 1h --kill-every 5m --kill ./fault.sh --json run.json --html run.html

  Two servers of one cluster, where people go to the other one if theirs is gone:
    lakechat simulate http://host-a:8080 http://host-b:8080 --insecure

What is checked: each acked message reaches everybody who is in its channel, from the join to the \
leave, also if the person was disconnected meanwhile; it arrives once, under one id, with the text that \
was sent, and in the same order for all; each post is answered; everybody is back in time. If not, the \
exit code is 1, and the report begins with the first message that is wrong.

Messages are due at random moments that do not depend on the server. A latency counts from the moment at \
which its message was due, so it includes the time in which the sender was disconnected.

The run registers its users (PREFIX-1, PREFIX-2, …), which needs open registration, and creates its \
channels (PREFIX-c1, …). They stay on the server. The server's limits hold for them as for everybody: \
if one of them slows the run down, the report names it. All people of a run have one address.

Memory: 3 MiB for each channel, and about 100 KiB for each person.";

/// Run simulated users against a server and check that nothing is lost, duplicated or reordered
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct SimulateArgs {
    /// The URL of a server or balancer, or of several servers of one cluster
    #[arg(required = true, value_parser = server, value_name = "URL")]
    pub urls: Vec<Url>,
    /// Number of people
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub users: u32,
    /// Number of channels
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub channels: u32,
    /// Number of channels that each person joins
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=128), value_name = "N")]
    pub joins: u32,
    /// Messages per second of all people together, while all are there
    #[arg(long, default_value = "20", value_parser = rate, value_name = "N")]
    pub rate: f64,
    /// Bytes of a text
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(64..), value_name = "BYTES")]
    pub size: u32,
    /// How long people talk
    #[arg(long, default_value = "30s", value_parser = time, value_name = "TIME")]
    pub duration: Duration,
    /// Time over which people arrive
    #[arg(long, default_value = "3s", value_parser = time, value_name = "TIME")]
    pub ramp: Duration,
    /// How long a person stays on average before going away; 0s: to the end
    #[arg(long, default_value = "20s", value_parser = time, value_name = "TIME")]
    pub stay: Duration,
    /// How long a person is away on average. Half of them leave their channels before; the others come
    /// back as after a lost connection, and get what they missed
    #[arg(long, default_value = "3s", value_parser = time, value_name = "TIME")]
    pub away: Duration,
    /// A shell command that kills something, and starts it again if nothing else does. Whatever it
    /// starts in the background goes on after the run
    #[arg(long, requires = "moments", value_name = "COMMAND")]
    pub kill: Option<String>,
    /// When to run it: times since the start, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = time, group = "moments", requires = "kill", value_name = "TIMES")]
    pub kill_at: Vec<Duration>,
    /// Run it repeatedly at random times; this is the mean interval
    #[arg(long, value_parser = interval, group = "moments", requires = "kill", conflicts_with = "kill_at", value_name = "TIME")]
    pub kill_every: Option<Duration>,
    /// The longest time in which a person has to be back after a lost connection
    #[arg(long, default_value = "60s", value_parser = time, value_name = "TIME")]
    pub reconnect_within: Duration,
    /// How long to wait at the end for answers and for messages on their way
    #[arg(long, default_value = "60s", value_parser = time, value_name = "TIME")]
    pub settle: Duration,
    /// Seed of everything that is random; printed in the report
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Beginning of the names of users and channels; random unless given
    #[arg(long, value_parser = prefix, value_name = "NAME")]
    pub prefix: Option<String>,
    /// The password of all users. With it, users of an earlier run with this prefix log in
    #[arg(long, requires = "prefix", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Allow http:// to other hosts: everybody on the way can read passwords and messages
    #[arg(long)]
    pub insecure: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time such as 500ms, 30s, 5m"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = time(text)?;
    match interval >= Duration::from_secs(1) {
        true => Ok(interval),
        false => Err("at least 1s".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate: Option<f64> = text.parse().ok();
    rate.filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or("a number from 0.001 to 1000000")
}

fn prefix(text: &str) -> Result<String, String> {
    match UserName::parse(text) {
        Ok(name) if text.len() <= PREFIX_CHARS => Ok(name.as_str().to_owned()),
        _ => Err(format!(
            "1 to {PREFIX_CHARS} of a-z, 0-9, dot, underscore, hyphen; a letter or digit first"
        )),
    }
}
