// SPDX-License-Identifier: MIT
// F3 with the message queue of Boost.Interprocess, between a process and its child.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <sys/wait.h>
#include <unistd.h>

namespace ipc = boost::interprocess;

static int f3()
{
    const std::uint64_t items = 2000000;
    const std::string name = "weft-bench-" + std::to_string(getpid());
    ipc::message_queue::remove(name.c_str());
    ipc::message_queue queue(ipc::create_only, name.c_str(), 1024, sizeof(std::uint64_t));
    ipc::message_queue::remove(name.c_str()); // both ends have it by now, or inherit it
    auto start = std::chrono::steady_clock::now();
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        for (std::uint64_t item = 0; item < items; item++)
            queue.send(&item, sizeof item, 0);
        _exit(0);
    }
    std::uint64_t item, sum = 0;
    for (std::uint64_t i = 0; i < items; i++, sum += item) {
        ipc::message_queue::size_type size;
        unsigned priority;
        queue.receive(&item, sizeof item, size, priority);
    }
    std::chrono::duration<double> cost = std::chrono::steady_clock::now() - start;
    int status;
    if (waitpid(child, &status, 0) != child || status != 0 || sum != items * (items - 1) / 2)
        return 1;
    std::printf("F3 %g items/s\n", static_cast<double>(items) / cost.count());
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        std::puts("F3");
        return 0;
    }
    return argc == 2 && std::strcmp(argv[1], "F3") == 0 ? f3() : 2;
}
