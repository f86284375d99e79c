// SPDX-License-Identifier: MIT
// The workloads on oneTBB; see bench/README.md for what each has to do.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

using steady = std::chrono::steady_clock;

static constexpr int tasks = 1000000;

static double seconds(steady::time_point start)
{
    return std::chrono::duration<double>(steady::now() - start).count();
}

// Two workers and the outside thread, which owns no place among them.
static tbb::task_arena &arena()
{
    static tbb::task_arena two(2, 0);
    return two;
}

// A word that says done, and a thread that sleeps on it when it is not.
struct future {
    std::atomic<int> done{0};
    void finish()
    {
        done.store(1, std::memory_order_release);
        done.notify_one();
    }
    void await()
    {
        done.wait(0, std::memory_order_acquire);
    }
};

static void a1()
{
    auto start = steady::now();
    std::vector<future *> futures(tasks);
    for (auto &at : futures) {
        auto made = at = new future;
        arena().enqueue([made] { made->finish(); });
    }
    for (auto at : futures) {
        at->await();
    }
    std::printf("A1 %g tasks/s\n", tasks / seconds(start));
    arena().terminate(); // a finish may still be notifying
    for (auto at : futures)
        delete at;
}

static void a2()
{
    auto start = steady::now();
    arena().execute([] {
        tbb::task_group group;
        for (int i = 0; i < tasks; i++)
            group.run([] {});
        group.wait();
    });
    std::printf("A2 %g tasks/s\n", tasks / seconds(start));
}

static int fib(int n)
{
    if (n < 2)
        return n;
    int left, right;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    right = fib(n - 2);
    group.wait();
    return left + right;
}

static void b()
{
    int result = 0;
    auto start = steady::now();
    arena().execute([&result] { result = fib(32); });
    if (result != 2178309)
        std::exit(1);
    std::printf("B %g ns/spawn\n", seconds(start) * 1e9 / 3524577);
}

static double round_trips(int count, bool rest)
{
    std::vector<double> times;
    for (int i = 0; i < count; i++) {
        if (rest)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        auto start = steady::now();
        auto made = new future; // freed at the end of the process: finish may still notify
        arena().enqueue([made] { made->finish(); });
        made->await();
        times.push_back(seconds(start) * 1e6);
    }
    std::nth_element(times.begin(), times.begin() + count / 2, times.end());
    return times[count / 2];
}

static void c()
{
    std::printf("C.hot %g us\n", round_trips(50000, false));
    std::printf("C.idle %g us\n", round_trips(500, true));
}

static void queue(const char *name, int parties)
{
    constexpr int items = 2000000;
    tbb::concurrent_bounded_queue<std::uint64_t> pipe;
    pipe.set_capacity(1024);
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> total{0};
    std::uint64_t each = items / parties;
    auto start = steady::now();
    for (int p = 0; p < parties; p++) {
        threads.emplace_back([&] {
            for (std::uint64_t i = 1; i <= each; i++)
                pipe.push(i);
        });
        threads.emplace_back([&] {
            std::uint64_t sum = 0, item;
            for (std::uint64_t i = 0; i < each; i++) {
                pipe.pop(item);
                sum += item;
            }
            total += sum;
        });
    }
    for (auto &thread : threads)
        thread.join();
    if (total != parties * (each * (each + 1) / 2))
        std::exit(1);
    std::printf("E.%s %g items/s\n", name, items / seconds(start));
}

static void e()
{
    queue("1p1c", 1);
    queue("2p2c", 2);
    queue("8p8c", 8);
}

static const struct {
    const char *name;
    void (*run)();
} workloads[] = {{"A1", a1}, {"A2", a2}, {"B", b}, {"C", c}, {"E", e}};

int main(int argc, char **argv)
{
    if (argc < 2) {
        std::fprintf(stderr, "usage: tbb-peer --list | WORKLOAD\n");
        return 2;
    }
    // Two workers beside the thread that submits.
    tbb::global_control allowed(tbb::global_control::max_allowed_parallelism, 3);
    for (auto &workload : workloads) {
        if (std::strcmp(argv[1], "--list") == 0)
            std::puts(workload.name);
        else if (std::strcmp(argv[1], workload.name) == 0)
            workload.run();
    }
    std::fflush(stdout);
    std::_Exit(0); // the pool's own end is not measured
}
