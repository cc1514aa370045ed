//! `lakechat simulate`: people who talk at a server while things break, and a check of what they got.
//!
//! Each `person` has a session of `lakechat-client`, the one that the terminal client uses. What it
//! reports goes to the [`check`] of the channel and to the [`figures`]. A [`message`] can be computed again
//! from its sender and number, so texts aren't kept. `run` is what all people share.

mod accounts;
mod args;
mod check;
mod figures;
mod kill;
mod limits;
mod message;
mod person;
mod progress;
mod report;
mod run;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};

use self::accounts::Password;
pub use self::args::SimulateArgs;
use self::message::Script;
use self::person::Person;
use self::progress::Progress;
use self::report::{RunReport, Scene};
use self::run::{Habits, Run};
use super::password::password_in;
use crate::cli::chat::check_privacy;
use lakechat_client::{Api, Credentials, Login};

/// How often the progress is shown, and the end looked for.
const TICK: Duration = Duration::from_millis(100);

/// How long people may take to close their sessions at the end.
const GOOD_BYE: Duration = Duration::from_secs(10);

/// Runs the simulation and prints its report. An error if something is wrong.
pub async fn run(args: SimulateArgs) -> Result<()> {
    for url in &args.urls {
        check_privacy(url, args.insecure)?;
    }
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let mut rng = StdRng::seed_from_u64(seed);
    // Not from the seed: a run must not meet the messages of an earlier one.
    let number = rand::random();
    let prefix = args.prefix.clone();
    let prefix = prefix.unwrap_or_else(|| format!("sim-{number:08x}"));
    let script = Script::new(prefix.clone(), number, args.size as usize);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let servers = args.urls.iter().map(|url| Api::new(url.clone()));
    let servers: Vec<_> = servers.collect::<Result<_, _>>()?;

    let (logins, delays) = tokio::select! {
        prepared = prepare(&args, &script, &servers) => prepared?,
        _ = interrupt.recv() => bail!("interrupted while the accounts were registered"),
    };
    let run = Arc::new(Run::new(
        script,
        habits(&args),
        args.channels,
        args.duration,
    ));
    run.figures.tally().delays = delays;
    let mut people = JoinSet::new();
    for (number, login) in (1..).zip(logins) {
        let person = person(&args, &run, &servers, number, login, &mut rng);
        people.spawn(person.live());
    }
    let interrupted = conduct(&args, &run, &mut people, &mut interrupt, &mut rng).await?;
    let took = run.figures.now();
    run.channels().for_each(|c| run.check(c).finish());
    let scene = scene(&args, seed, prefix);
    publish(&args, &RunReport::of(&run, scene, interrupted, took))
}

fn habits(args: &SimulateArgs) -> Habits {
    Habits {
        rate: args.rate / f64::from(args.users),
        stay: args.stay,
        away: args.away,
        reconnect_within: args.reconnect_within,
    }
}

fn scene(args: &SimulateArgs, seed: u64, prefix: String) -> Scene {
    Scene {
        urls: args.urls.iter().map(|url| url.to_string()).collect(),
        users: args.users,
        channels: args.channels,
        joins: args.joins.min(args.channels),
        rate: args.rate,
        size: args.size,
        duration_s: args.duration.as_secs_f64(),
        seed,
        prefix,
        reconnect_within_s: args.reconnect_within.as_secs_f64(),
        kill: args.kill.clone(),
    }
}

/// Accounts for all people, and the channels. Also what the server said when it made them wait.
async fn prepare(
    args: &SimulateArgs,
    script: &Script,
    servers: &[Api],
) -> Result<(Vec<Login>, BTreeMap<String, u64>)> {
    let password = match &args.password_file {
        Some(path) => Password::Given(password_in(path)?),
        None => Password::Fresh(format!("{:032x}", rand::random::<u128>())),
    };
    let progress = Progress::accounts(args.users);
    let delays = RefCell::new(BTreeMap::new());
    let delayed = |said: String| {
        progress.note(said.clone());
        *delays.borrow_mut().entry(said).or_default() += 1;
    };
    let logins = stream::iter(1..=args.users).map(|person| {
        let api = &servers[person as usize % servers.len()];
        let login = accounts::log_in(api, script, person, &password, delayed);
        async {
            let login = login.await;
            progress.one_more();
            login
        }
    });
    let logins: Vec<Login> = logins.buffered(accounts::AT_A_TIME).try_collect().await?;
    let token = logins[0].token.expose();
    for channel in 1..=args.channels {
        let name = script.channel(channel);
        accounts::create_channel(&servers[1 % servers.len()], token, &name).await?;
    }
    Ok((logins, delays.into_inner()))
}

/// The person with a number. People are spread evenly over servers and channels.
fn person(
    args: &SimulateArgs,
    run: &Arc<Run>,
    servers: &[Api],
    number: u32,
    login: Login,
    rng: &mut StdRng,
) -> Person {
    let first = number as usize % servers.len();
    let (before, from) = servers.split_at(first);
    let credentials = Credentials::new(from[0].clone(), login);
    let others = from[1..].iter().chain(before).cloned();
    let joins = args.joins.min(args.channels);
    let channels = (0..joins).map(|n| (number + n) % args.channels + 1);
    Person {
        number,
        credentials: Arc::new(credentials.also_at(others)),
        channels: channels.collect(),
        arrival: args
            .ramp
            .mul_f64(f64::from(number - 1) / f64::from(args.users)),
        run: run.clone(),
        rng: StdRng::seed_from_u64(rng.random()),
        next: BTreeMap::new(),
    }
}

/// Lets people talk, ends the talk, waits until all has arrived, and sends everybody home. True if a
/// signal ended the talk.
async fn conduct(
    args: &SimulateArgs,
    run: &Arc<Run>,
    people: &mut JoinSet<()>,
    interrupt: &mut Signal,
    rng: &mut StdRng,
) -> Result<bool> {
    let moments = kill::moments(&args.kill_at, args.kill_every, args.duration, rng);
    let command = args.kill.clone().unwrap_or_default();
    let killing = tokio::spawn(kill::run_at(run.clone(), command, moments));
    let progress = Progress::run(args.duration);
    let over = run.figures.started + args.duration;
    let mut interrupted = false;
    let mut ticks = interval(TICK);
    loop {
        // Each branch can be waited for again.
        tokio::select! {
            _ = ticks.tick() => progress.show(run),
            () = sleep_until(over) => break,
            _ = interrupt.recv() => {
                interrupted = true;
                break;
            }
        }
    }
    run.end.cancel();
    let deadline = Instant::now() + args.settle;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                progress.show(run);
                if killing.is_finished() && run.is_settled() {
                    break;
                }
            }
            () = sleep_until(deadline) => break,
            _ = interrupt.recv() => {
                run.fail("the run was interrupted before all messages had arrived".to_owned());
                break;
            }
        }
    }
    if !killing.is_finished() {
        run.fail("the command of --kill was still running at the end".to_owned());
        killing.abort();
    }
    run.finish.cancel();
    if timeout(GOOD_BYE, async {
        while people.join_next().await.is_some() {}
    })
    .await
    .is_err()
    {
        people.abort_all();
    }
    Ok(interrupted)
}

fn publish(args: &SimulateArgs, report: &RunReport) -> Result<()> {
    print!("{}", report::text(report));
    let write = |path: &std::path::Path, text: String| {
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    };
    if let Some(path) = &args.json {
        write(path, serde_json::to_string_pretty(report)? + "\n")?;
    }
    if let Some(path) = &args.html {
        write(path, report::page(report))?;
    }
    std::io::stdout().flush()?;
    match &report.first {
        Some(_) => bail!("the simulation failed; its report says what is wrong"),
        None => Ok(()),
    }
}
