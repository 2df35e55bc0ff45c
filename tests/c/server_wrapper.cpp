// The C++ header's Server: owners that move, exceptions, a callback that is a closure.
#include "check.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;
using namespace std::string_literals;
using trimtab::Server;
using trimtab::ServerState;
using trimtab::Status;

namespace {

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) { CHECK(fd >= 0); }
    Socket(const Socket &) = delete;
    ~Socket() { close(fd_); }
    int get() const { return fd_; }

    std::string read_some(std::size_t size) const
    {
        std::string bytes(size, '\0');
        const ssize_t read = recv(fd_, bytes.data(), size, MSG_WAITALL);
        CHECK(read >= 0);
        bytes.resize(static_cast<std::size_t>(read));
        return bytes;
    }
    void write(std::string_view text) const
    {
        CHECK(send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    }

private:
    int fd_;
};

sockaddr_in loopback(std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int listen_anywhere(std::uint16_t &port)
{
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr *>(&address), size) == 0 && listen(fd, 16) == 0);
    CHECK(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    return fd;
}

int dial(const std::string &text)
{
    const sockaddr_in address = loopback(static_cast<std::uint16_t>(std::stoul(text.substr(text.rfind(':') + 1))));
    const timeval deadline{20, 0};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) == 0);
    CHECK(connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    return fd;
}

// Answers one client after the other with what it says, until `count` have come.
class Backend {
public:
    explicit Backend(unsigned count) : listening_(listen_anywhere(port_)), thread_([this, count] { serve(count); }) {}
    ~Backend() { thread_.join(); }
    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

private:
    void serve(unsigned count) const
    {
        for (unsigned at = 0; at < count; ++at) {
            const Socket client(accept(listening_.get(), nullptr, nullptr));
            for (std::string text = client.read_some(5); !text.empty(); text = client.read_some(5)) {
                client.write(text);
            }
        }
    }

    std::uint16_t port_ = 0;
    Socket listening_;
    std::thread thread_;
};

std::string config(const std::string &backend)
{
    return "[runtime]\nworkers = 2\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n"
           "[[pool]]\nname = \"app\"\n[[pool.backend]]\nname = \"one\"\naddress = \"" +
           backend + "\"\n";
}

void types()
{
    static_assert(!std::is_copy_constructible_v<Server> && !std::is_copy_assignable_v<Server>);
    static_assert(std::is_nothrow_move_constructible_v<Server> && std::is_nothrow_move_assignable_v<Server>);
    CHECK(trimtab::name(Status::forked) == "TRIMTAB_E_FORKED" && trimtab::name(Status::state) == "TRIMTAB_E_STATE");
    CHECK(trimtab::name(Status::unsupported) == "TRIMTAB_E_UNSUPPORTED");
    CHECK(trimtab::name(Status::corrupt) == "TRIMTAB_E_CORRUPT");
    CHECK(trimtab::has_feature("proxy"));
    CHECK(thrown([] { Server("listener = 1", "x.toml"); }) == Status::config);
    CHECK(thrown([] { Server::from_file("/nowhere/at/all.toml"); }) == Status::io);
    try {
        Server("listener = 1", "x.toml");
        CHECK(false);
    } catch (const trimtab::Error &error) {
        CHECK(std::strncmp(error.what(), "x.toml:1:12: ", 13) == 0);
    }
}

// On whichever thread: that of the caller of a hosted server, and those of a server's own.
void an_exception_that_leaves_a_callback_ends_the_program()
{
    for (const bool is_hosted : {true, false}) {
        CHECK(terminates([&] {
            Server server(config("127.0.0.1:9"), {},
                          [](const trimtab::Event &) { throw std::runtime_error("not caught"); });
            if (is_hosted) {
                server.start_hosted();
            } else {
                server.start();
                server.drain();
                server.wait();
            }
        }));
    }
}

void own_threads()
{
    Backend backend(2);
    std::mutex lock;
    std::vector<trimtab::EventKind> kinds;
    std::string drained;
    Server server(config(backend.address()), "test", [&](const trimtab::Event &event) {
        const std::lock_guard guard(lock);
        kinds.push_back(event.kind());
        if (event.kind() == trimtab::EventKind::backend_admin) {
            CHECK(event.number() == static_cast<std::uint32_t>(trimtab::Admin::drain));
            drained = std::string(event.name()) + ' ' + std::string(event.pool()) + '/' +
                      std::string(event.backend()) + ' ' + std::string(event.value());
            CHECK(event.listener().empty() && event.detail().empty() && event.get().struct_size > 0);
        }
    });
    CHECK(server.state() == ServerState::made && !server.admin_address());
    CHECK(thrown([&] { server.address("web"); }) == Status::state);
    CHECK(thrown([&] { server.wait(); }) == Status::state);
    CHECK(thrown([&] { server.turn(); }) == Status::state);
    server.start();
    CHECK(thrown([&] { server.start(); }) == Status::state && thrown([&] { server.start_hosted(); }) == Status::state);
    CHECK(server.state() == ServerState::running);
    CHECK(thrown([&] { server.pool("nope"); }) == Status::not_found);

    // It runs on, and tells, wherever it is moved.
    Server moved = std::move(server);
    {
        const Socket client(dial(moved.address("web")));
        client.write("hello");
        CHECK(client.read_some(5) == "hello");
        CHECK(moved.statistics().accepted == 1 && moved.statistics("web").bytes_to_backends == 5);
    }
    trimtab::Pool pool = moved.pool("app");
    const auto one = pool.find("one");
    CHECK(one && pool.address(*one) == backend.address());
    CHECK(moved.status().find("\"state\":\"running\"") != std::string::npos);
    CHECK(!moved.wait_for(10ms));
    const Socket last(dial(moved.address("web")));
    last.write("hello");
    CHECK(last.read_some(5) == "hello");
    pool.set_admin(*one, trimtab::Admin::drain);
    moved.drain(100ms);
    CHECK(moved.wait_for(20s));
    CHECK(moved.state() == ServerState::stopped);
    moved.stop();
    moved.wait();
    CHECK(drained == "backend-admin app/one drain");
    CHECK((kinds == std::vector{trimtab::EventKind::started, trimtab::EventKind::backend_admin,
                                trimtab::EventKind::draining, trimtab::EventKind::stopped}));

    // The one assigned to ends first, and its callback is there for its last word.
    unsigned stopped = 0;
    Server other(config(backend.address()), {}, [&stopped, big = std::string(1000, 'x')](const trimtab::Event &event) {
        stopped += event.kind() == trimtab::EventKind::stopped && big.size() == 1000;
    });
    other.start();
    other = std::move(moved);
    CHECK(stopped == 1 && other.state() == ServerState::stopped);
    pool.set_weight(*one, 3);
    CHECK(kinds.size() == 5);
}

void hosted()
{
    Backend backend(1);
    std::uint16_t port = 0;
    const Socket listening(listen_anywhere(port));
    char path[] = "/tmp/trimtab-wrapper-XXXXXX";
    close(mkstemp(path));
    std::ofstream(path) << config(backend.address());
    unsigned told = 0;
    Server server = Server::from_file(path, [&](const trimtab::Event &) { ++told; });
    CHECK(unlink(path) == 0);
    CHECK(thrown([&] { server.adopt("web", -1); }) == Status::invalid_argument);
    server.adopt("web", listening.get());
    server.start_hosted();
    CHECK(server.address("web") == "127.0.0.1:" + std::to_string(port));
    CHECK(server.poll_fd() >= 0 && server.next_timeout() == -1 && !server.next_deadline());
    CHECK(server.turn(0ms) == 0);
    CHECK(thrown([&] { server.wait_for(0ms); }) == Status::state);
    {
        const Socket client(dial(server.address("web")));
        client.write("hello");
        while (server.statistics().bytes_to_clients < 5) {
            server.turn();
        }
        CHECK(server.next_timeout() > 0 && server.next_deadline());
        CHECK(client.read_some(5) == "hello");
    }
    while (server.statistics().sessions > 0) {
        server.turn(20s);
    }
    server.drain();
    while (server.state() != ServerState::stopped) {
        server.turn();
    }
    CHECK(thrown([&] { server.poll_fd(); }) == Status::state && thrown([&] { server.turn(0ms); }) == Status::state);
    CHECK(told == 3);
}

void its_store()
{
    char made[] = "/tmp/trimtab-wrapper-XXXXXX";
    CHECK(mkdtemp(made) != nullptr);
    const std::string text = "[runtime]\nworkers = 1\n\n[store]\ndir = \"" + std::string(made) + "/store\"\n";
    std::optional<trimtab::Store> outlives;
    {
        Server server(text);
        CHECK(thrown([&] { server.store(); }) == Status::state);
        server.start();
        trimtab::Store store = server.store();
        store.put("k", "v");
        outlives = server.store();
        CHECK(outlives->get("k")->value == "v");
        CHECK(thrown([&] { store.close(); }) == Status::state);
        CHECK(store.increment("n") == 1);
    }
    CHECK(thrown([&] { outlives->get("k"); }) == Status::state);
    outlives.reset();
    trimtab::Store again(made + "/store"s);
    CHECK(again.get("k")->value == "v");
    again.close();
    std::filesystem::remove_all(made);

    Server none(config("127.0.0.1:9"));
    CHECK(thrown([&] { none.store(); }) == Status::not_found);
}

} // namespace

int main()
{
    alarm(60);
    types();
    an_exception_that_leaves_a_callback_ends_the_program();
    own_threads();
    hosted();
    its_store();
    std::printf("server_wrapper: C++ works\n");
    return 0;
}
