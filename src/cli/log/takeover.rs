//! The places that the tables take over from another installation.

use std::fmt::Write;

use anyhow::Result;

use crate::app::places::Places;
use lakechat_cluster::hbase::HBase;
use lakechat_cluster::owner::{Installation, Place};
use lakechat_cluster::sweep_guard::{lost_rows, next_stamp};

pub(super) struct Takeover<'a> {
    hbase: &'a HBase,
    places: &'a Places,
    /// `None`: the tables have no id yet.
    ours: Option<Installation>,
    owners: Vec<(&'a dyn Place, Option<Installation>)>,
    /// Why files without a row are kept; `None` if they aren't.
    lost_rows: Option<String>,
}

impl<'a> Takeover<'a> {
    /// All places have to answer.
    pub async fn plan(hbase: &'a HBase, places: &'a Places) -> Result<Takeover<'a>> {
        let found = places.owners().await.into_iter();
        let owners = found.map(|found| Ok((found.place, found.owner?)));
        let ours = hbase.installation().await?;
        let is_ours = places.file.owner().await? == ours;
        Ok(Takeover {
            owners: owners.collect::<Result<_>>()?,
            ours,
            // Another installation's stamps have nothing to do with these tables.
            lost_rows: match is_ours {
                true => lost_rows(hbase, &places.file).await?,
                false => None,
            },
            hbase,
            places,
        })
    }

    pub fn summary(&self) -> String {
        let mut text = match &self.ours {
            Some(ours) => format!("tables:  {ours}\n"),
            None => format!(
                "tables:  table {}, which gets the id of a new installation\n",
                self.hbase.meta_table()
            ),
        };
        for (place, owner) in &self.owners {
            let place = place.name();
            let line = match owner {
                Some(owner) if Some(owner) == self.ours.as_ref() => {
                    format!("{place} belongs to these tables")
                }
                Some(owner) => format!("{place} belongs to {owner}: these tables take it over"),
                None => format!("{place} belongs to nobody: these tables take it over"),
            };
            writeln!(text, "place:   {line}").expect("a String takes everything");
        }
        if let Some(reason) = &self.lost_rows {
            writeln!(text, "files:   {reason}").expect("a String takes everything");
        }
        text
    }

    pub fn changes_anything(&self) -> bool {
        self.lost_rows.is_some() || self.owners.iter().any(|(_, owner)| self.is_foreign(owner))
    }

    /// Can be repeated if it fails half-way.
    pub async fn carry_out(&self) -> Result<()> {
        let ours = self.hbase.create_installation().await?;
        for (place, owner) in &self.owners {
            if owner.as_ref() != Some(&ours) {
                place.reassign(&ours).await?;
            }
        }
        if self.changes_anything() {
            self.keep_files(&ours).await?;
        }
        Ok(())
    }

    /// Sweeps continue, and leave files that were written before this moment.
    async fn keep_files(&self, ours: &Installation) -> Result<()> {
        let file = &self.places.file;
        // Also if the folder is ours already: its age is what sweeps go by.
        file.reassign(ours).await?;
        if let Some(stamp) = file.sweep_stamp().await? {
            let later = next_stamp(Some(stamp));
            self.hbase.raise_sweep_stamp(later).await?;
        }
        Ok(())
    }

    fn is_foreign(&self, owner: &Option<Installation>) -> bool {
        owner.is_some() && *owner != self.ours
    }
}
