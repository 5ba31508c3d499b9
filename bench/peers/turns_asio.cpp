/* SPDX-License-Identifier: MIT
 *
 * turns_asio.cpp -- turns of Boost.Asio: io_context::poll() over a socket and a steady_timer for
 * each connection. */
#include <boost/asio.hpp>
#include <chrono>

#include "../turns.h"

namespace asio = boost::asio;

static asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);

struct Connection {
    explicit Connection(int fd)
        : socket(context, asio::local::stream_protocol(), fd),
          timer(context, std::chrono::seconds(IDLE_S))
    {
    }

    asio::local::stream_protocol::socket socket;
    asio::steady_timer timer;
    char bytes[64];
};

/* Nothing was sent, or the machine was too slow for this to be a measurement. */
static void on_something(boost::system::error_code)
{
    exit(1);
}

static void loop_open(void)
{
}

static void connection_add(int fd)
{
    auto *connection = new Connection(fd); /* until the process ends */
    connection->socket.async_read_some(
        asio::buffer(connection->bytes),
        [](boost::system::error_code error, std::size_t) { on_something(error); });
    connection->timer.async_wait(on_something);
}

static void loop_turn(void)
{
    context.poll();
}
