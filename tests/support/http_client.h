#pragma once

#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <utility>

namespace retinue::test {

/// A TCP connection to a port of this machine. It sends any bytes, well-formed or not.
class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port, double timeout_s = 60)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET, to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{static_cast<time_t>(timeout_s),
                        static_cast<suseconds_t>((timeout_s - static_cast<int>(timeout_s)) * 1e6)};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("no server listens on port " + std::to_string(port));
  }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient() { ::close(fd_); }

  [[nodiscard]] int fd() const { return fd_; }
  /// False: the server no longer receives.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const auto sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Everything until the server closes, or sends nothing for timeout_s.
  std::string read_all() {
    std::string text = std::exchange(pending_, {});
    std::array<char, 4096> bytes;
    for (ssize_t n; (n = ::recv(fd_, bytes.data(), bytes.size(), 0)) > 0;)
      text.append(bytes.data(), static_cast<std::size_t>(n));
    return text;
  }
  /// The next answer, as long as its Content-Length says; empty when none arrives.
  std::string read_one() {
    std::array<char, 4096> bytes;
    while (true) {
      const std::size_t head = pending_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t at = pending_.find("Content-Length: ");
        const std::size_t whole =
            head + 4 + (at < head ? std::strtoull(pending_.c_str() + at + 16, nullptr, 10) : 0);
        if (pending_.size() >= whole) {
          std::string answer = pending_.substr(0, whole);
          pending_.erase(0, whole);
          return answer;
        }
      }
      const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
      if (n <= 0) return {};
      pending_.append(bytes.data(), static_cast<std::size_t>(n));
    }
  }

 private:
  int fd_;
  std::string pending_;
};

/// The answer to one request, sent unchanged on a connection of its own.
inline std::string http_exchange(std::uint16_t port, std::string_view request) {
  HttpClient client(port);
  client.send(request);
  return client.read_all();
}

inline std::string http_get(std::uint16_t port, std::string_view path) {
  return http_exchange(port, "GET " + std::string(path) +
                                 " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
}

/// The status code, such as 200; 0 where `answer` is not an answer.
inline int http_status(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(std::string(answer.substr(9, 3)).c_str()) : 0;
}

inline std::string http_body(std::string_view answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  return std::string(head == answer.npos ? std::string_view() : answer.substr(head + 4));
}

}  // namespace retinue::test
