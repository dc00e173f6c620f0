//! Replays the committed corpora of the fuzz targets, and as many random inputs as a test has time for.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::panic;
use std::path::Path;

use proptest::prelude::*;

#[test]
fn every_input_of_the_corpora_still_passes() {
    for (target, _) in checks::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("every target has a corpus") {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let passed = panic::catch_unwind(|| checks::run(target, &input));
            assert!(passed.is_ok(), "{} fails", path.display());
            inputs += 1;
        }
        assert!(inputs >= 8, "{target} has a corpus of {inputs} inputs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_pass_every_check(input in prop::collection::vec(any::<u8>(), 0..160)) {
        for (_, check) in checks::ALL {
            check(&input);
        }
    }

    #[test]
    fn bytes_that_look_like_headers_pass_every_check(input in "[0-9 a-zA-Z:,.+%=\n-]{0,48}") {
        for (_, check) in checks::ALL {
            check(input.as_bytes());
        }
    }
}
