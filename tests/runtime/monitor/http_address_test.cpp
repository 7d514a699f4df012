#include "runtime/monitor/http_address.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

TEST(HttpAddress, APortAloneIsTheLoopbacks) {
  for (const char* text : {"9090", ":9090", "127.0.0.1:9090"})
    EXPECT_EQ(to_string(parse_http_address(text)), "127.0.0.1:9090") << text;
}

TEST(HttpAddress, ANamedHostIsTaken) {
  EXPECT_EQ(to_string(parse_http_address("node0.cluster:80")), "node0.cluster:80");
  EXPECT_EQ(to_string(parse_http_address("0.0.0.0:0")), "0.0.0.0:0");
  EXPECT_EQ(parse_http_address("[fe80::1%eth0]:9090").host, "fe80::1%eth0");
  EXPECT_EQ(to_string(parse_http_address("[::1]:9090")), "[::1]:9090");
}

TEST(HttpAddress, WhatIsNoAddressIsRefusedWithTheReason) {
  for (const auto& [text, why] : {std::pair{"", "no port"},
                                  {"node0", "no port"},
                                  {"node0:", "'' is no port"},
                                  {"node0:port", "'port' is no port"},
                                  {"node0:65536", "'65536' is no port"},
                                  {"70000", "ports end at 65535"},
                                  {"::1:9090", "needs brackets"},
                                  {"[::1]", "no port"},
                                  {"[::1", "no IPv6 address in brackets"},
                                  {"[::1]9090", "no IPv6 address in brackets"},
                                  {"[]:9090", "'' is no host"},
                                  {"a b:80", "'a b' is no host"},
                                  {"http://node0:80", "IPv6 address needs brackets"},
                                  {"node0:-1", "'-1' is no port"}}) {
    try {
      parse_http_address(text);
      ADD_FAILURE() << text << " was taken";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(why));
      EXPECT_THAT(error.what(), testing::HasSubstr("Wanted HOST:PORT"));
    }
  }
}

TEST(HttpAddress, OnlyLoopbackNamesNameTheLoopback) {
  for (const char* host : {"localhost", "LocalHost:9090", "127.0.0.1", "127.0.0.1:80", "127.9.9.9",
                           "[::1]", "[::1]:9090"})
    EXPECT_TRUE(names_loopback(host)) << host;
  for (const char* host :
       {"", ":9090", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.evil",
        "127.", "localhost:", "localhost:x", "localhost:99999", "[::2]", "[::1", "::1", "[::1]x",
        "10.0.0.1", "localhost@evil.example", "0.0.0.0"})
    EXPECT_FALSE(names_loopback(host)) << host;
}

TEST(HttpAddress, PathsArePlainOrNone) {
  EXPECT_EQ(path_of_target("/"), "/");
  EXPECT_EQ(path_of_target("/status?pretty=1#x"), "/status");
  EXPECT_EQ(path_of_target("http://localhost:9090/thumb/3"), "/thumb/3");
  for (const char* target : {"", "*", "status", "http://localhost", "http://localhost?/status",
                             "https://localhost/status", "/a%2e", "/a b", "/\x80", "/<script>"})
    EXPECT_EQ(path_of_target(target), "") << target;
}

}  // namespace
}  // namespace retinue::runtime
