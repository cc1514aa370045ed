//! The scripts that run in Redis, by its clock: the clocks of servers do not matter.

use redis::{Cmd, Script};

/// `KEYS`: the session, its user's sessions. `ARGV`: lifetime (ms), id, user, server, address, since.
const KEEP_SESSION: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'user', ARGV[3], 'server', ARGV[4], 'address', ARGV[5], 'since', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
";

/// `KEYS`: a channel. `ARGV`: lifetime (ms), members.
const KEEP_MEMBERS: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for at = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
";

/// `KEYS`: a sorted set by deadline. `ARGV`: the most members to return.
const ALIVE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local from = string.format('(%.0f', now)
return redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'LIMIT', 0, ARGV[1])
";

/// The scripts, with the hashes by which Redis finds them.
pub struct Scripts {
    pub keep_session: Script,
    pub keep_members: Script,
    pub alive: Script,
}

impl Scripts {
    pub fn new() -> Scripts {
        Scripts {
            keep_session: Script::new(KEEP_SESSION),
            keep_members: Script::new(KEEP_MEMBERS),
            alive: Script::new(ALIVE),
        }
    }

    pub fn all(&self) -> [&Script; 3] {
        [&self.keep_session, &self.keep_members, &self.alive]
    }
}

/// A call of a loaded script, for a pipeline.
pub fn call(script: &Script, keys: &[&str]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script.get_hash()).arg(keys.len()).arg(keys);
    cmd
}
