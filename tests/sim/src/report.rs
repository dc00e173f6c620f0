//! What an experiment saw: a table for a terminal, and curves for a chart.

use std::fmt;

use chart::Chart;

/// What an experiment saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// The experiment.
    pub name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    charts: Vec<Chart>,
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

    /// The charts.
    #[must_use]
    pub fn charts(&self) -> &[Chart] {
        &self.charts
    }
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
