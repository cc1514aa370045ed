//! The port's errors for Java exceptions of HDFS, by the name of their class and their text.

use lakechat_core::ports::{PortError, Reason};

/// The part that errors of this adapter name.
pub(super) const PART: &str = "files";

pub(super) fn unavailable(reason: impl Into<Reason>) -> PortError {
    PortError::unavailable(PART, reason)
}

pub(super) fn broken(reason: impl Into<Reason>) -> PortError {
    PortError::broken(PART, reason)
}

/// The error for an exception, with advice for an operator.
pub(super) fn from_exception(class: &str, text: &str) -> PortError {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    let said = text.lines().next().unwrap_or_default();
    let with = |advice: &str| format!("{name}: {said} ({advice})");
    if text.contains("SafeModeException") || text.contains("Name node is in safe mode") {
        return unavailable(with(SAFE_MODE));
    }
    match name {
        "SafeModeException" => unavailable(with(SAFE_MODE)),
        "NSQuotaExceededException" => unavailable(with(NAME_QUOTA)),
        "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => {
            unavailable(with(SPACE_QUOTA))
        }
        "AccessControlException" => broken(with(PERMISSION)),
        "AuthorizationException" | "InvalidToken" | "SaslException" | "GSSException" => {
            broken(with(LOGIN))
        }
        _ if text.contains("could only be written to 0 of") => unavailable(with(NO_NODE)),
        "FileNotFoundException" | "InvalidPathException" => broken(format!("{name}: {said}")),
        _ => unavailable(format!("{name}: {said}")),
    }
}

/// Whether an exception says that a file or a folder does not exist.
pub(super) fn is_missing(class: &str) -> bool {
    class == "java.io.FileNotFoundException"
}

const SAFE_MODE: &str = "it leaves safe mode by itself when enough DataNodes have reported; \
                         `hdfs dfsadmin -safemode get` shows what it waits for";
const NAME_QUOTA: &str = "raise it with `hdfs dfsadmin -setQuota`, or remove files";
const SPACE_QUOTA: &str = "raise it with `hdfs dfsadmin -setSpaceQuota`, or remove files";
const PERMISSION: &str = "the folder hdfs.root has to exist and belong to the user hdfs.user: \
                          `hdfs dfs -mkdir -p` and `hdfs dfs -chown` as HDFS's superuser";
const LOGIN: &str = "check hdfs.user and, with Kerberos, the ticket of this process";
const NO_NODE: &str = "no DataNode accepts blocks: they are down or full; \
                       `hdfs dfsadmin -report` shows which";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_that_an_operator_can_resolve_come_with_advice() {
        let safe = "Cannot create file/a. Name node is in safe mode.\nThe reported blocks 0 …";
        let refusals = [
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                safe,
                "-safemode get",
            ),
            (
                "org.apache.hadoop.ipc.RetriableException",
                safe,
                "-safemode get",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                "The DiskSpace quota of /lakechat is exceeded: quota = 1 B = 1 B",
                "-setSpaceQuota",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException",
                "The NameSpace quota (directories and files) of directory /l is exceeded",
                "-setQuota",
            ),
            (
                "java.io.IOException",
                "File /l/tmp/a could only be written to 0 of the 1 minReplication nodes.",
                "dfsadmin -report",
            ),
        ];
        for (class, text, advice) in refusals {
            let PortError::Unavailable { reason, .. } = from_exception(class, text) else {
                panic!("{class} passes");
            };
            let reason = reason.to_string();
            assert!(
                reason.contains(advice) && !reason.contains('\n'),
                "{reason}"
            );
        }
    }

    #[test]
    fn exceptions_that_a_retry_does_not_resolve_are_broken() {
        for (class, text) in [
            (
                "org.apache.hadoop.security.AccessControlException",
                "Permission denied: user=lakechat, access=WRITE, inode=\"/\":root:root:drwxr-xr-x",
            ),
            (
                "java.io.FileNotFoundException",
                "File does not exist: /lakechat/files/ab/x",
            ),
        ] {
            assert!(
                matches!(from_exception(class, text), PortError::Broken { .. }),
                "{class}"
            );
        }
    }
}
