//! How much it matters that a call is made: the class by which an overloaded service chooses whom it lets down first.

use core::fmt;
use core::str::FromStr;

use crate::InvalidConfig;

/// The class of a call, the least important first: `a < b` reads "`a` gives way before `b`".
///
/// The four classes and their meaning are those of Google's (Site Reliability Engineering, chapter 21, "Criticality"): few enough that everybody who calls knows which one is meant, and no more than an overloaded service can tell apart.
/// A class is refused only where all classes below it are refused already.
///
/// | class | for | who sets it |
/// |---|---|---|
/// | `CriticalPlus` | calls whose failure is an outage that users see at once | the few that capacity is reserved for |
/// | `Critical` | calls whose failure users see; capacity is planned for all of them | nobody: it is the default |
/// | `SheddablePlus` | calls that may fail for minutes, and are tried again: batch work | whoever starts the batch |
/// | `Sheddable` | calls that may fail for hours: prefetching, statistics, what is made anew tomorrow | whoever can do without |
///
/// [`Critical`](Self::Critical) is the default, because a call about which nobody has said anything must be one that the service was built for: a caller has to ask to be less important, and nobody is more important by mistake.
///
/// ```
/// use seaworthy_core::Criticality;
///
/// assert!(Criticality::Sheddable < Criticality::Critical);
/// assert_eq!(Criticality::default(), Criticality::Critical);
/// assert_eq!("sheddable-plus".parse(), Ok(Criticality::SheddablePlus));
/// assert_eq!(Criticality::CriticalPlus.as_str(), "critical-plus");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "layers keep accounts by class, and the classes are four"
)]
pub enum Criticality {
    /// May fail for hours.
    Sheddable,
    /// May fail for minutes.
    SheddablePlus,
    /// Its failure is seen; the default.
    #[default]
    Critical,
    /// Its failure is an outage.
    CriticalPlus,
}

impl Criticality {
    /// All classes, in the order in which they give way.
    pub const ALL: [Self; 4] = [
        Self::Sheddable,
        Self::SheddablePlus,
        Self::Critical,
        Self::CriticalPlus,
    ];

    /// Its name: what is written into headers, labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::SheddablePlus => "sheddable-plus",
            Self::Critical => "critical",
            Self::CriticalPlus => "critical-plus",
        }
    }

    /// Its place in [`ALL`](Self::ALL), for accounts that are kept by class.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class of that name, in any case and with `_` for `-`; `None` if there is none.
    ///
    /// Nothing is trimmed, and nothing is guessed: a name that is almost right is wrong.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| is_same_name(class.as_str(), name))
    }
}

fn is_same_name(canonical: &str, name: &[u8]) -> bool {
    let same = |(ours, theirs): (u8, &u8)| match theirs {
        b'_' => ours == b'-',
        _ => ours == theirs.to_ascii_lowercase(),
    };
    canonical.len() == name.len() && canonical.bytes().zip(name).all(same)
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// As [`Criticality::from_name`], for configuration and command lines.
impl FromStr for Criticality {
    type Err = InvalidConfig;

    fn from_str(name: &str) -> Result<Self, InvalidConfig> {
        Self::from_name(name.as_bytes()).ok_or_else(|| {
            InvalidConfig::new(
                "criticality",
                "must be critical-plus, critical, sheddable-plus or sheddable",
            )
        })
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn less_important_is_less() {
        use Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};
        assert!(Sheddable < SheddablePlus);
        assert!(SheddablePlus < Critical);
        assert!(Critical < CriticalPlus);
        assert_eq!(Criticality::default(), Critical);
    }

    #[test]
    fn each_class_stands_at_its_index() {
        for (index, class) in Criticality::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
        }
    }

    #[test]
    fn name_is_read_back() {
        for class in Criticality::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
            let shouted = class.as_str().to_ascii_uppercase().replace('-', "_");
            assert_eq!(Criticality::from_name(shouted.as_bytes()), Some(class));
        }
    }

    #[test]
    fn what_is_almost_a_name_is_none() {
        for name in [
            "",
            " critical",
            "critical ",
            "critical+",
            "critical-",
            "-critical",
            "criticalplus",
            "critical--plus",
            "important",
            "sheddable-",
            "2",
            "critical\0",
        ] {
            assert_eq!(Criticality::from_name(name.as_bytes()), None, "{name:?}");
            assert!(name.parse::<Criticality>().is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_name_or_none(bytes: Vec<u8>) {
            if let Some(class) = Criticality::from_name(&bytes) {
                prop_assert_eq!(bytes.len(), class.as_str().len());
            }
        }
    }
}
