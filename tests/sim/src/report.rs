//! What an experiment saw: a table for a terminal, and curves for a chart.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use chart::Chart;

/// What an experiment saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// The experiment.
    pub name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    charts: Vec<Chart>,
    shown: Vec<Chart>,
}

impl Report {
    /// An empty report with these columns.
    #[must_use]
    pub fn new(name: &'static str, columns: &[&'static str]) -> Self {
        Self {
            name,
            columns: columns.to_vec(),
            rows: Vec::new(),
            charts: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a chart, to be written below `target/sim`.
    pub fn chart(&mut self, chart: Chart) {
        self.charts.push(chart.below(chart::target().join("sim")));
    }

    /// Adds a chart that `docs/simulation.md` shows: to be written below `target/sim`, and into `docs/curves` by [`record`](Self::record).
    pub fn show(&mut self, chart: Chart) {
        self.shown.push(chart.clone());
        self.chart(chart);
    }

    /// The charts.
    #[must_use]
    pub fn charts(&self) -> &[Chart] {
        &self.charts
    }

    /// Writes the charts that the docs show to where they show them, and says where.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn record(&self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let shown = self.shown.iter().cloned();
        shown
            .map(|chart| chart.below(docs().join("curves")).write())
            .collect()
    }

    /// Holds the docs to this run: the table, and the charts to the byte.
    ///
    /// # Panics
    /// If the docs say something else.
    pub fn assert_told(&self) {
        let page = fs::read_to_string(docs().join("simulation.md")).expect("the docs are there");
        assert!(
            page.contains(&self.to_string()),
            "docs/simulation.md has another table of {}:\n{self}",
            self.name
        );
        for chart in &self.charts {
            let _ = chart.write().expect("target/sim can be written");
        }
        for chart in &self.shown {
            let fresh = chart.clone().below(chart::target().join("sim/shown"));
            let fresh = fresh.write().expect("target/sim can be written");
            let name = fresh.file_name().expect("a chart is a file");
            let kept = docs().join("curves").join(name);
            assert!(
                fs::read(&kept).ok() == fs::read(&fresh).ok(),
                "{} is of another run: `cargo run --release -p sim -- {} --record`",
                kept.display(),
                self.name
            );
            let link = format!("(curves/{})", name.display());
            assert!(
                page.contains(&link),
                "docs/simulation.md does not show {link}"
            );
        }
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A table in Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}
