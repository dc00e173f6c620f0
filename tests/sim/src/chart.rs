//! Curves as SVG files below `target/sim`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

/// A chart: named curves over one axis.
#[derive(Clone, Debug)]
pub struct Chart {
    file: String,
    title: String,
    x: &'static str,
    y: &'static str,
    curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Chart {
    /// A chart without curves yet; `file` is its name without an ending.
    #[must_use]
    pub fn new(
        file: impl Into<String>,
        title: impl Into<String>,
        x: &'static str,
        y: &'static str,
    ) -> Self {
        Self {
            file: file.into(),
            title: title.into(),
            x,
            y,
            curves: Vec::new(),
        }
    }

    /// Adds a curve.
    pub fn curve(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) {
        self.curves
            .push((name.into(), points.into_iter().collect()));
    }

    /// Writes the file, and says where.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Result<PathBuf, Box<dyn Error>> {
        let folder = folder();
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.svg", self.file));
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let end = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max);
        let (width, height) = (end(|point| point.0), end(|point| point.1) * 1.05);

        let area = SVGBackend::new(&path, (960, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..width, 0.0..height)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (at, (name, points)) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(at).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        drop(chart);
        drop(area);
        Ok(path)
    }
}

/// `target/sim` of the workspace.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
        .join("sim")
}
