//! Curves as SVG files, below `target/` unless told otherwise: for the simulation and the benches.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

/// Where the names of the curves stand.
pub use plotters::chart::SeriesLabelPosition as Place;

/// A chart: named curves over one axis.
#[derive(Clone, Debug)]
pub struct Chart {
    file: String,
    title: String,
    x: &'static str,
    y: &'static str,
    curves: Vec<(String, Vec<(f64, f64)>)>,
    folder: PathBuf,
    logarithmic: bool,
    names: Place,
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
            folder: target(),
            logarithmic: false,
            names: Place::UpperRight,
        }
    }

    /// Another folder to write to.
    #[must_use]
    pub fn below(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Both axes by powers of ten, for what grows from one to a million; no number may be below one.
    #[must_use]
    pub const fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// Another place for the names of the curves than above and right, where there is room.
    #[must_use]
    pub fn names(mut self, place: Place) -> Self {
        self.names = place;
        self
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
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.svg", self.file));
        // Drawn by its logarithm and labelled by its number.
        let logarithmic = self.logarithmic;
        let place = |number: f64| if logarithmic { number.log10() } else { number };
        let label = |place: &f64| {
            let number = if logarithmic {
                10_f64.powf(*place)
            } else {
                *place
            };
            let digits = usize::from(number < 10.0 && number.fract().abs() > 0.05);
            format!("{number:.digits$}")
        };
        let place_both = |&(x, y): &(f64, f64)| (place(x), place(y));
        let points = || {
            self.curves
                .iter()
                .flat_map(|(_, points)| points)
                .map(place_both)
        };
        let end = |of: fn((f64, f64)) -> f64| points().map(of).fold(place(1.0), f64::max);
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
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (at, (name, points)) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(at).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().map(place_both), colour))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(self.names.clone())
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        drop(chart);
        drop(area);
        Ok(path)
    }
}

/// The folder of everything that is built.
#[must_use]
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
