//! The places outside of HBase that carry the id of the installation: topic, folder and prefix.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::settings;
use super::super::waiting::StepError;
use crate::config::Config;
use crate::readiness::Part;
use lakechat_cluster::hbase::HBase;
use lakechat_cluster::hdfs::OwnerFile;
use lakechat_cluster::kafka::OwnerTopic;
use lakechat_cluster::owner::{Installation, Place};
use lakechat_cluster::redis::OwnerKey;
use lakechat_core::ports::PortError;

/// How long the log may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long HDFS and Redis may take. A server starts without them, too.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Places {
    topic: OwnerTopic,
    pub file: OwnerFile,
    key: OwnerKey,
}

/// A place, and the installation that it belongs to.
pub struct PlaceOwner<'a> {
    pub place: &'a dyn Place,
    pub owner: Result<Option<Installation>, PortError>,
    /// Whether a server can't start without it.
    needed: bool,
}

impl Places {
    /// Does not connect. Must be called within a runtime.
    pub fn new(config: &Config) -> anyhow::Result<Places> {
        Ok(Places {
            topic: OwnerTopic::new(settings::kafka(config, config.chat.partitions)),
            file: OwnerFile::new(&settings::hdfs(config))?,
            key: OwnerKey::new(&settings::redis(config))?,
        })
    }

    /// Asks all places at once.
    pub async fn owners(&self) -> Vec<PlaceOwner<'_>> {
        let places: [(&dyn Place, bool); 3] =
            [(&self.topic, true), (&self.file, false), (&self.key, false)];
        let asked = places.map(async |(place, needed)| PlaceOwner {
            owner: in_time(needed, place.owner()).await,
            place,
            needed,
        });
        join_all(asked).await
    }

    /// Compares the installation of the tables with the owners of the places, and gives its id to those that
    /// have none.
    ///
    /// HDFS and Redis may be unavailable: what writes to them compares again.
    pub async fn claim(&self, hbase: &HBase) -> Result<Installation, StepError> {
        // Before the tables: they have an id before any place has it. So an id that is found here and not
        // there is another installation's.
        let found = self.owners().await;
        let ours = hbase.installation().await.map_err(of_hbase)?;
        refuse_foreign(&found, ours.as_ref(), hbase)?;
        let ours = match ours {
            Some(ours) => ours,
            None => hbase.create_installation().await.map_err(of_hbase)?,
        };
        let claims = found.into_iter().map(|found| found.claim(&ours));
        let claimed = join_all(claims).await;
        refuse_foreign(&claimed, Some(&ours), hbase)?;
        for PlaceOwner { owner, needed, .. } in claimed {
            match owner {
                Err(error) if needed => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "can't check the owner of a place yet: {error}")
                }
                Ok(_) => {}
            }
        }
        Ok(ours)
    }
}

impl PlaceOwner<'_> {
    /// Whether it belongs to another installation than `ours`.
    pub fn is_foreign(&self, ours: Option<&Installation>) -> bool {
        matches!(&self.owner, Ok(Some(owner)) if Some(owner) != ours)
    }

    async fn claim(mut self, ours: &Installation) -> Self {
        if matches!(self.owner, Ok(None)) {
            let claimed = in_time(self.needed, self.place.claim(ours)).await;
            self.owner = claimed.map(Some);
        }
        self
    }
}

async fn in_time<T>(
    needed: bool,
    answer: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let limit = if needed { TIMEOUT } else { OPTIONAL_TIMEOUT };
    let late = |_| PortError::unavailable("place", "no answer in time");
    timeout(limit, answer).await.map_err(late)?
}

/// One line for each place of another installation, and what to do.
fn refuse_foreign(
    owners: &[PlaceOwner<'_>],
    ours: Option<&Installation>,
    hbase: &HBase,
) -> Result<(), StepError> {
    let foreign = owners.iter().filter(|place| place.is_foreign(ours));
    let lines: Vec<_> = foreign
        .filter_map(|PlaceOwner { place, owner, .. }| {
            let owner = owner.as_ref().ok()?.as_ref()?;
            Some(format!("{} belongs to {owner}", place.name()))
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let whose = match ours {
        Some(ours) => format!("this server's tables are {ours}"),
        None => format!(
            "this server's tables have no id (table {})",
            hbase.meta_table()
        ),
    };
    Err(StepError::Fatal(anyhow::anyhow!(
        "{}\n{whose}: correct the settings in brackets, or hbase.namespace and hbase.table_prefix. If the \
         tables were recreated, copied or restored, `lakechat log adopt` transfers these places to them",
        lines.join("\n")
    )))
}

fn of_hbase(error: PortError) -> StepError {
    StepError::from(error).within(Part::History)
}
