//! What runs within Redis, by Redis' clock: servers' clocks decide nothing.

use redis::{Cmd, Script};

/// `KEYS`: the session, its user's sessions. `ARGV`: how long it holds (ms), id, user, server, address,
/// since.
const KEEP_SESSION: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'user', ARGV[3], 'server', ARGV[4], 'address', ARGV[5], 'since', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
";

/// `KEYS`: a channel. `ARGV`: how long it holds (ms), members.
const KEEP_PLACES: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for at = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
";

/// `KEYS`: a sorted set by deadline. `ARGV`: how many members at most.
const ALIVE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local from = string.format('(%.0f', now)
return redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'LIMIT', 0, ARGV[1])
";

/// The scripts, and the hashes under which Redis knows them.
pub struct Scripts {
    pub keep_session: Script,
    pub keep_places: Script,
    pub alive: Script,
}

impl Scripts {
    pub fn new() -> Scripts {
        Scripts {
            keep_session: Script::new(KEEP_SESSION),
            keep_places: Script::new(KEEP_PLACES),
            alive: Script::new(ALIVE),
        }
    }

    pub fn all(&self) -> [&Script; 3] {
        [&self.keep_session, &self.keep_places, &self.alive]
    }
}

/// A call of a script that Redis knows, for a pipeline.
pub fn call(script: &Script, keys: &[&str]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script.get_hash()).arg(keys.len()).arg(keys);
    cmd
}
