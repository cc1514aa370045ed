//! Places that belong to an installation: a claim is decided once, for everybody.

use anyhow::Result;
use lakechat_cluster::owner::{Installation, Place};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Tests of every rule of a place.
#[macro_export]
macro_rules! place_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            place:
                first_claim_counts_for_everybody
                claims_at_once_have_one_winner
                reassigned_place_belongs_to_the_new_owner;
        }
    };
}

/// A place that nobody has claimed.
pub trait PlaceBackend: Send + Sync + Sized + 'static {
    /// Another client of it each time.
    fn place(&self) -> Result<impl Place + 'static>;
}

/// An installation that nobody else has.
pub fn installation() -> Installation {
    Installation {
        id: Uuid::new_v4(),
        meta_table: "lakechat:meta".to_owned(),
    }
}

pub async fn first_claim_counts_for_everybody<B: PlaceBackend>(backend: B) -> Result<()> {
    let (first, second) = (installation(), installation());
    let (a, b) = (backend.place()?, backend.place()?);
    assert_eq!(a.owner().await?, None);
    assert_eq!(a.claim(&first).await?, first);
    assert_eq!(a.claim(&first).await?, first, "again");
    assert_eq!(b.claim(&second).await?, first);
    let copy = Installation {
        meta_table: "lakechat:copy_meta".to_owned(),
        ..first.clone()
    };
    assert_eq!(b.claim(&copy).await?, first, "same id, other tables");
    for place in [&a, &b] {
        assert_eq!(place.owner().await?.as_ref(), Some(&first));
    }
    Ok(())
}

pub async fn claims_at_once_have_one_winner<B: PlaceBackend>(backend: B) -> Result<()> {
    let mut claims = JoinSet::new();
    for _ in 0..6 {
        let place = backend.place()?;
        claims.spawn(async move { place.claim(&installation()).await });
    }
    let mut winners = Vec::new();
    while let Some(claimed) = claims.join_next().await {
        winners.push(claimed??);
    }
    let owner = backend.place()?.owner().await?;
    assert!(winners.iter().all(|winner| Some(winner) == owner.as_ref()));
    Ok(())
}

pub async fn reassigned_place_belongs_to_the_new_owner<B: PlaceBackend>(backend: B) -> Result<()> {
    let (first, second) = (installation(), installation());
    let place = backend.place()?;
    assert_eq!(place.claim(&first).await?, first);
    for owner in [&second, &second, &first] {
        place.reassign(owner).await?;
        assert_eq!(place.owner().await?.as_ref(), Some(owner));
        assert_eq!(&backend.place()?.claim(&second).await?, owner);
    }
    Ok(())
}
