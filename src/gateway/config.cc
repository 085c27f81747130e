#include "gateway/config.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/strings.h"

namespace leadsman::gateway {

Result<std::pair<std::string, std::string>> ParseEndpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  auto wrong = [&](std::string_view why) {
    return InvalidArgumentError(StrCat(why, "; an endpoint is host:port, as 127.0.0.1:5000"));
  };
  if (text.find("://") != std::string::npos) return wrong("must not begin with a scheme");
  if (colon == std::string::npos || colon == 0) return wrong("needs a host and a port");
  std::string host = text.substr(0, colon);
  std::string port = text.substr(colon + 1);
  auto number = ParseInt64(port);
  if (!number || *number < 1 || *number > 65535 || port[0] == '+')
    return wrong("needs a port from 1 to 65535");
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return wrong("needs an IPv6 address in brackets");
  }
  const bool clean = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '%';
  });
  if (!clean) return wrong("has characters that no host has");
  return std::pair(std::move(host), std::move(port));
}

Result<std::vector<uint32_t>> PartsOf(const std::vector<double>& shares) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double share : shares) {
    if (!(share >= 0)) return InvalidArgumentError("a weight must not be negative");
  }
  if (std::abs(sum - 1) > 1e-6) {
    return InvalidArgumentError(
        StrCat("the weights must be 100% together, and are ", std::round(sum * 10'000) / 100, "%"));
  }
  std::vector<uint32_t> parts;
  uint32_t given = 0;
  for (double share : shares) {
    parts.push_back(static_cast<uint32_t>(std::lround(share * 10'000)));
    given += parts.back();
  }
  // What rounding has made too much or too little belongs to the largest.
  auto largest = std::max_element(parts.begin(), parts.end());
  *largest += 10'000 - given;
  return parts;
}

std::vector<uint32_t> ConfiguredParts(const ServiceOptions& service) {
  std::vector<double> shares;
  bool any = false;
  size_t lowest = 0;
  for (size_t i = 0; i < service.versions.size(); ++i) {
    any = any || service.versions[i].weight.has_value();
    shares.push_back(service.versions[i].weight.value_or(0));
    if (service.versions[i].version < service.versions[lowest].version) lowest = i;
  }
  auto parts = any ? PartsOf(shares) : InvalidArgumentError("");
  if (parts.ok()) return std::move(parts).value();
  std::vector<uint32_t> all(service.versions.size(), 0);
  if (!all.empty()) all[lowest] = 10'000;
  return all;
}

}  // namespace leadsman::gateway
