// SPDX-License-Identifier: MIT
//! The workloads on tokio, rayon, crossbeam and the standard library; the first argument chooses
//! which. See bench/README.md for what each workload has to do.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, Notify};

const TASKS: u64 = 1_000_000;

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn per_second(count: u64, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

fn nanoseconds_each(count: u64, start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(|a, b| a.partial_cmp(b).unwrap());
    times[times.len() / 2]
}

mod on_tokio {
    use super::*;

    pub fn a1() {
        let runtime = two_workers();
        let start = Instant::now();
        let futures: Vec<_> = (0..TASKS).map(|_| runtime.spawn(async {})).collect();
        runtime.block_on(async {
            for future in futures {
                future.await.unwrap();
            }
        });
        println!("A1 {:e} tasks/s", per_second(TASKS, start));
    }

    pub fn a2() {
        let runtime = two_workers();
        let left = Arc::new(AtomicU64::new(TASKS));
        let done = Arc::new(Notify::new());
        let start = Instant::now();
        for _ in 0..TASKS {
            let (left, done) = (left.clone(), done.clone());
            runtime.spawn(async move {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    done.notify_one();
                }
            });
        }
        runtime.block_on(done.notified());
        println!("A2 {:e} tasks/s", per_second(TASKS, start));
    }

    fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            if n < 2 {
                return n;
            }
            let left = tokio::spawn(fib(n - 1));
            let right = fib(n - 2).await;
            left.await.unwrap() + right
        })
    }

    pub fn b() {
        let runtime = two_workers();
        let start = Instant::now();
        let result = runtime.block_on(async { tokio::spawn(fib(32)).await.unwrap() });
        assert_eq!(result, 2178309);
        println!("B {} ns/spawn", nanoseconds_each(3_524_577, start));
    }

    fn round_trips(runtime: &Runtime, count: usize, rest: Duration) -> f64 {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
            let start = Instant::now();
            let task = runtime.spawn(async {});
            runtime.block_on(task).unwrap();
            times.push(start.elapsed().as_nanos() as f64 / 1000.0);
        }
        median(times)
    }

    pub fn c() {
        let runtime = two_workers();
        println!("C.hot {} us", round_trips(&runtime, 50_000, Duration::ZERO));
        println!("C.idle {} us", round_trips(&runtime, 500, Duration::from_millis(1)));
    }

    pub fn d1() {
        const YIELDS: u64 = 1_000_000;
        let runtime = Builder::new_current_thread().build().unwrap();
        let start = Instant::now();
        runtime.block_on(async {
            let run = || async {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
            };
            let (one, two) = (tokio::spawn(run()), tokio::spawn(run()));
            one.await.unwrap();
            two.await.unwrap();
        });
        println!("D1 {} ns/yield", nanoseconds_each(2 * YIELDS, start));
    }

    pub fn d2() {
        const SPAWNS: u64 = 2_000_000;
        let runtime = Builder::new_current_thread().build().unwrap();
        let start = Instant::now();
        runtime.block_on(async {
            for _ in 0..SPAWNS {
                tokio::spawn(async {}).await.unwrap();
            }
        });
        println!("D2 {} ns/spawn", nanoseconds_each(SPAWNS, start));
    }

    fn skynet(
        result: mpsc::Sender<u64>,
        number: u64,
        size: u64,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if size == 1 {
                result.send(number).await.unwrap();
                return;
            }
            let (sender, mut receiver) = mpsc::channel(10);
            for i in 0..10 {
                tokio::spawn(skynet(sender.clone(), number + i * (size / 10), size / 10));
            }
            let mut sum = 0;
            for _ in 0..10 {
                sum += receiver.recv().await.unwrap();
            }
            result.send(sum).await.unwrap();
        })
    }

    pub fn d3() {
        let runtime = two_workers();
        let start = Instant::now();
        let sum = runtime.block_on(async {
            let (sender, mut receiver) = mpsc::channel(1);
            tokio::spawn(skynet(sender, 0, 1_000_000));
            receiver.recv().await.unwrap()
        });
        assert_eq!(sum, 499_999_500_000);
        println!("D3 {} s", start.elapsed().as_secs_f64());
    }

    fn resident_bytes() -> f64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
    }

    pub fn d6() {
        let runtime = two_workers();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let parked = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicU64::new(0));
        let before = resident_bytes();
        let start = Instant::now();
        for _ in 0..TASKS {
            let (gate, parked, ended) = (gate.clone(), parked.clone(), ended.clone());
            runtime.spawn(async move {
                parked.fetch_add(1, Ordering::Relaxed);
                let _ = gate.acquire().await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        while parked.load(Ordering::Relaxed) < TASKS {
            std::thread::yield_now();
        }
        println!("D6.create {} s", start.elapsed().as_secs_f64());
        println!("D6.bytes {} bytes", (resident_bytes() - before) / TASKS as f64);
        let start = Instant::now();
        gate.close();
        while ended.load(Ordering::Relaxed) < TASKS {
            std::thread::yield_now();
        }
        println!("D6.wake {} s", start.elapsed().as_secs_f64());
    }
}

mod on_rayon {
    use super::*;

    fn pool() -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
    }

    pub fn a2() {
        let pool = pool();
        let left = Arc::new(AtomicU64::new(TASKS));
        let (sender, receiver) = std::sync::mpsc::channel();
        let start = Instant::now();
        for _ in 0..TASKS {
            let (left, sender) = (left.clone(), sender.clone());
            pool.spawn(move || {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    sender.send(()).unwrap();
                }
            });
        }
        receiver.recv().unwrap();
        println!("A2 {:e} tasks/s", per_second(TASKS, start));
    }

    fn fib(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (left, right) = rayon::join(|| fib(n - 1), || fib(n - 2));
        left + right
    }

    pub fn b() {
        let pool = pool();
        let start = Instant::now();
        assert_eq!(pool.install(|| fib(32)), 2178309);
        println!("B {} ns/spawn", nanoseconds_each(3_524_577, start));
    }
}

mod queues {
    use super::*;

    const ITEMS: u64 = 8_000_000;

    fn run<S, R>(name: &str, parties: u64, send: S, receive: R)
    where
        S: Fn(u64) + Clone + Send + 'static,
        R: Fn() -> Option<u64> + Clone + Send + 'static,
    {
        let each = ITEMS / parties;
        let start = Instant::now();
        let mut consumers = Vec::new();
        let mut producers = Vec::new();
        for _ in 0..parties {
            let receive = receive.clone();
            consumers.push(std::thread::spawn(move || {
                let mut sum = 0;
                while let Some(item) = receive() {
                    sum += item;
                }
                sum
            }));
            let send = send.clone();
            producers.push(std::thread::spawn(move || (1..=each).for_each(|i| send(i))));
        }
        drop(send);
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        let total: u64 = consumers.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(total, parties * each * (each + 1) / 2);
        println!("E.{} {:e} items/s", name, per_second(ITEMS, start));
    }

    pub fn crossbeam() {
        for (name, parties) in [("1p1c", 1), ("2p2c", 2), ("8p8c", 8)] {
            let (sender, receiver) = ::crossbeam::channel::bounded(1024);
            run(name, parties, move |i| sender.send(i).unwrap(), move || receiver.recv().ok());
        }
    }

    pub fn d4() {
        const ROUNDS: u64 = 100_000;
        let (there, from_there) = ::crossbeam::channel::bounded::<u64>(0);
        let (back, from_back) = ::crossbeam::channel::bounded::<u64>(0);
        let start = Instant::now();
        let other = std::thread::spawn(move || {
            for item in from_there {
                back.send(item).unwrap();
            }
        });
        for i in 0..ROUNDS {
            there.send(i).unwrap();
            assert_eq!(from_back.recv().unwrap(), i);
        }
        println!("D4.threads {} ns/round", nanoseconds_each(ROUNDS, start));
        drop(there);
        other.join().unwrap();
    }

    /// One consumer is all the standard channel allows.
    pub fn standard() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1024);
        let start = Instant::now();
        let producer = std::thread::spawn(move || (1..=ITEMS).for_each(|i| sender.send(i).unwrap()));
        let mut total = 0;
        while let Ok(item) = receiver.recv() {
            total += item;
        }
        producer.join().unwrap();
        assert_eq!(total, ITEMS * (ITEMS + 1) / 2);
        println!("E.1p1c {:e} items/s", per_second(ITEMS, start));
    }
}

type Workload = (&'static str, fn());

fn workloads(library: &str) -> &'static [Workload] {
    match library {
        "tokio" => &[
            ("A1", on_tokio::a1),
            ("A2", on_tokio::a2),
            ("B", on_tokio::b),
            ("C", on_tokio::c),
            ("D1", on_tokio::d1),
            ("D2", on_tokio::d2),
            ("D3", on_tokio::d3),
            ("D6", on_tokio::d6),
        ],
        "rayon" => &[("A2", on_rayon::a2), ("B", on_rayon::b)],
        "crossbeam" => &[("D4", queues::d4), ("E", queues::crossbeam)],
        "std" => &[("E", queues::standard)],
        _ => &[],
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() < 3 {
        eprintln!("usage: rust-peer tokio|rayon|crossbeam|std --list|WORKLOAD");
        std::process::exit(2);
    }
    for (name, run) in workloads(&arguments[1]) {
        if arguments[2] == "--list" {
            println!("{}", name);
        } else if arguments[2] == *name {
            run();
        }
    }
}
