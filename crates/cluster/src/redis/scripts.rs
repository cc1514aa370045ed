//! The scripts that run in Redis, by its clock: the clocks of servers do not matter.

use redis::{Cmd, Script};

/// `KEYS`: the session, its user's sessions, its network's. `ARGV`: lifetime (ms), id, user, server, address, since.
const KEEP_SESSION: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'user', ARGV[3], 'server', ARGV[4], 'address', ARGV[5], 'since', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
for at = 2, 3 do
  redis.call('ZREMRANGEBYSCORE', KEYS[at], '-inf', now)
  redis.call('ZADD', KEYS[at], now + ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[at], ARGV[1])
end
";

/// `KEYS`: the sessions of a user, of a network. `ARGV`: lifetime (ms), id, the most sessions of each (0: no limit).
/// Returns which of the limits is reached, or 0; then the id counts for its lifetime.
const RESERVE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local after = string.format('(%.0f', now)
for at = 1, 2 do
  local most = tonumber(ARGV[2 + at])
  if most > 0 and redis.call('ZCOUNT', KEYS[at], after, '+inf') >= most then
    return at
  end
end
for at = 1, 2 do
  redis.call('ZADD', KEYS[at], now + ARGV[1], ARGV[2])
  if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[at], ARGV[1])
  end
end
return 0
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
    pub reserve: Script,
    pub keep_members: Script,
    pub alive: Script,
}

impl Scripts {
    pub fn new() -> Scripts {
        Scripts {
            keep_session: Script::new(KEEP_SESSION),
            reserve: Script::new(RESERVE),
            keep_members: Script::new(KEEP_MEMBERS),
            alive: Script::new(ALIVE),
        }
    }

    pub fn all(&self) -> [&Script; 4] {
        [
            &self.keep_session,
            &self.reserve,
            &self.keep_members,
            &self.alive,
        ]
    }
}

/// A call of a loaded script, for a pipeline.
pub fn call(script: &Script, keys: &[&str]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script.get_hash()).arg(keys.len()).arg(keys);
    cmd
}
