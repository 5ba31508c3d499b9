// SPDX-License-Identifier: MIT
//
// asio.cpp -- the asynchronous echo server in the shape of Boost.Asio's example: a session reads
// some, writes all of it, and reads again.
#include <boost/asio.hpp>
#include <memory>

#include "peer.h"

using boost::asio::ip::tcp;

class session : public std::enable_shared_from_this<session>
{
  public:
    explicit session(tcp::socket socket) : socket_(std::move(socket))
    {
    }

    void read()
    {
        auto self(shared_from_this());
        socket_.async_read_some(boost::asio::buffer(data_),
                                [this, self](boost::system::error_code error, std::size_t n) {
                                    if (!error)
                                        write(n);
                                });
    }

  private:
    void write(std::size_t n)
    {
        auto self(shared_from_this());
        boost::asio::async_write(socket_, boost::asio::buffer(data_, n),
                                 [this, self](boost::system::error_code error, std::size_t) {
                                     if (!error)
                                         read();
                                 });
    }

    tcp::socket socket_;
    char data_[1024];
};

class server
{
  public:
    server(boost::asio::io_context &context, unsigned short port)
        : acceptor_(context, tcp::endpoint(boost::asio::ip::address_v4::loopback(), port))
    {
        accept();
    }

  private:
    void accept()
    {
        acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
            if (!error)
                std::make_shared<session>(std::move(socket))->read();
            accept();
        });
    }

    tcp::acceptor acceptor_;
};

int main(int argc, char **argv)
{
    boost::asio::io_context context;
    server echo(context, static_cast<unsigned short>(peer_port(argc, argv)));
    context.run();
    return 0;
}
