// A relay within a C++ program: a listener in front of a backend, which is replaced by another while clients come.
//
//     c++ -std=c++17 relay.cpp $(pkg-config --cflags --libs trimtab) -o relay && ./relay
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <trimtab.hpp>

namespace {

sockaddr_in loopback(std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

// Says its name to whoever comes, and closes.
class Greeter {
public:
    explicit Greeter(std::string name) : fd_(socket(AF_INET, SOCK_STREAM, 0))
    {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd_, 16) != 0 ||
            getsockname(fd_, reinterpret_cast<sockaddr *>(&address), &size) != 0) {
            throw std::runtime_error("cannot listen");
        }
        address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        thread_ = std::thread([fd = fd_, name = std::move(name)] {
            for (int client; (client = accept(fd, nullptr, nullptr)) >= 0; close(client)) {
                send(client, name.data(), name.size(), MSG_NOSIGNAL);
            }
        });
    }
    ~Greeter()
    {
        shutdown(fd_, SHUT_RDWR); // ends its accept
        thread_.join();
        close(fd_);
    }

    const std::string &address() const { return address_; }

private:
    int fd_;
    std::string address_;
    std::thread thread_;
};

std::string visit(const std::string &where)
{
    const sockaddr_in address = loopback(static_cast<std::uint16_t>(std::stoi(where.substr(where.rfind(':') + 1))));
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char name[16];
    ssize_t size = -1;
    if (connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0) {
        size = recv(fd, name, sizeof name, MSG_WAITALL);
    }
    close(fd);
    if (size <= 0) {
        throw std::runtime_error("no answer");
    }
    return std::string(name, static_cast<std::size_t>(size));
}

} // namespace

int main()
{
    try {
        Greeter old_one("old");
        Greeter new_one("new");
        trimtab::Server server(R"(
            [[listener]]
            name = "web"
            bind = "127.0.0.1:0"
            pool = "app"
            [[pool]]
            name = "app"
        )",
                               "relay.cpp", [](const trimtab::Event &event) {
                                   std::printf("    event: %.*s\n", static_cast<int>(event.name().size()), event.name().data());
                               });
        trimtab::Pool pool = server.pool("app");
        const trimtab::BackendId id = pool.add(old_one.address());
        server.start();
        const std::string where = server.address("web");

        std::printf("at first: %s\n", visit(where).c_str());
        pool.add(new_one.address());
        pool.remove(id);
        std::printf("then: %s\n", visit(where).c_str());
        server.drain();
        server.wait();
        return EXIT_SUCCESS;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return EXIT_FAILURE;
    }
}
