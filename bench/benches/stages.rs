//! Each stage of a sample's way by itself, and beside it the floor that it stands on.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainstem_bench::stages::{ALL, measured};

fn stages(criterion: &mut Criterion) {
    for named in &ALL {
        let mut stage = (named.make)();
        let mut group = criterion.benchmark_group(named.name);
        group.throughput(Throughput::Elements(stage.samples()));
        group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        group.bench_function("stage", |bencher| {
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    stage.prepare();
                    let begun = Instant::now();
                    measured(&mut *stage);
                    spent += begun.elapsed();
                }
                spent
            });
        });
        group.bench_function(format!("floor, {}", named.floor), |bencher| bencher.iter(|| stage.floor()));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
