/* SPDX-License-Identifier: MIT
 *
 * asio.cpp -- the contender on Boost.Asio: async_read_some(), then async_write(), by turns.
 *
 * A connection has a buffer of 64 KiB of its own; what its peer does not take stays there, and
 * nothing is read meanwhile.  The idle limit is as in the echo servers that its author shows: every
 * message stores a deadline, and a steady_timer that is due looks at that and waits on.  The
 * context is told that it has one thread alone, so that it takes no locks.
 * Asio decides by itself: edge-triggered epoll, an operation is tried before it waits, and what is
 * done is queued before its function is called; memory of operations is kept by the thread. */
#include <array>
#include <boost/asio.hpp>
#include <chrono>
#include <memory>

#include "../server.h"

namespace asio = boost::asio;
using asio::ip::tcp;

using std::chrono::steady_clock;

struct Connection : std::enable_shared_from_this<Connection> {
    Connection(tcp::socket accepted, bool limited)
        : socket(std::move(accepted)), timer(socket.get_executor()), idle(limited)
    {
    }

    void serve()
    {
        read();
        if (idle)
            watch();
    }

  private:
    void read()
    {
        if (idle)
            deadline = steady_clock::now() + std::chrono::milliseconds(IDLE_MS);
        socket.async_read_some(
            asio::buffer(bytes),
            [self = shared_from_this()](boost::system::error_code error, std::size_t got) {
                if (error)
                    self->end();
                else
                    self->write(got);
            });
    }

    void write(std::size_t length)
    {
        asio::async_write(
            socket, asio::buffer(bytes, length),
            [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                if (error)
                    self->end();
                else
                    self->read();
            });
    }

    void watch()
    {
        timer.expires_at(deadline);
        timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (error)
                return; /* it was cancelled by the end */
            if (steady_clock::now() < self->deadline)
                self->watch();
            else
                self->end();
        });
    }

    void end()
    {
        boost::system::error_code ignored;
        socket.close(ignored);
        timer.cancel();
    }

    tcp::socket socket;
    asio::steady_timer timer;
    steady_clock::time_point deadline;
    bool idle;
    std::array<unsigned char, READ_SIZE> bytes; /* its pages are touched as far as they are used */
};

struct Listener {
    void accept()
    {
        acceptor.async_accept([this](boost::system::error_code error, tcp::socket socket) {
            if (error && server_starved(error.value())) {
                rest.expires_after(std::chrono::milliseconds(REST_MS));
                rest.async_wait([this](boost::system::error_code) { accept(); });
                return;
            }
            if (!error)
                std::shared_ptr<Connection>(new Connection(std::move(socket), idle))->serve();
            accept(); /* any other error is that of one connection */
        });
    }

    tcp::acceptor acceptor;
    asio::steady_timer rest;
    bool idle;
};

int main(int argc, char **argv)
{
    const auto arguments = server_arguments(argc, argv, BOOST_LIB_VERSION);
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    Listener listener{ tcp::acceptor(context, tcp::v4(), server_listen(&arguments)),
                       asio::steady_timer(context), arguments.idle };
    listener.accept();
    context.run();
}
