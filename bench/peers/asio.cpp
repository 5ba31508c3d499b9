/* SPDX-License-Identifier: MIT
 *
 * asio.cpp -- the contender on Boost.Asio: async_read_some(), then async_write(), by turns.
 *
 * A connection has a buffer of 64 KiB of its own; what its peer does not take stays there, and
 * nothing is read meanwhile.  The idle limit is a steady_timer that every message sets anew.  The
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

struct Connection : std::enable_shared_from_this<Connection> {
    Connection(tcp::socket accepted, bool limited)
        : socket(std::move(accepted)), timer(socket.get_executor()), idle(limited)
    {
    }

    void read()
    {
        if (idle)
            limit();
        socket.async_read_some(
            asio::buffer(bytes),
            [self = shared_from_this()](boost::system::error_code error, std::size_t got) {
                if (error)
                    self->end();
                else
                    self->write(got);
            });
    }

  private:
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

    /* Setting the time cancels the wait that was, whose function is called with an error. */
    void limit()
    {
        timer.expires_after(std::chrono::milliseconds(IDLE_MS));
        timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (!error)
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
            if (!error) {
                server_nodelay(socket.native_handle());
                std::shared_ptr<Connection>(new Connection(std::move(socket), idle))->read();
            }
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
