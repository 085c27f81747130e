#include "gateway/routes.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::gateway {
namespace {

std::string_view WithoutPort(std::string_view host) {
  if (!host.empty() && host.front() == '[') {  // [::1]:8080
    const size_t end = host.find(']');
    return host.substr(0, end == std::string_view::npos ? host.size() : end + 1);
  }
  return host.substr(0, host.find(':'));
}

bool HostFits(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return true;
  if (!pattern.starts_with("*.")) return EqualsIgnoreCase(pattern, host);
  const std::string_view tail = pattern.substr(1);  // ".example.com"
  return host.size() > tail.size() &&
         EqualsIgnoreCase(host.substr(host.size() - tail.size()), tail);
}

bool HeadersFit(const RouteOptions& route, const net::HttpRequest& request) {
  for (const auto& [name, value] : route.headers) {
    const bool fits = std::any_of(
        request.fields.begin(), request.fields.end(), [&](const net::HttpRequest::Field& field) {
          return EqualsIgnoreCase(field.name, name) && (value == "*" || field.value == value);
        });
    if (!fits) return false;
  }
  return true;
}

/// Whether a path can mean another one than it spells.
bool NeedsNormalising(std::string_view path) {
  return path.find('%') != std::string_view::npos || path.find("/.") != std::string_view::npos ||
         path.find("//") != std::string_view::npos;
}

}  // namespace

std::string NormalisedPath(std::string_view path) {
  auto decoded = UrlDecode(path);
  const std::string text = decoded ? *decoded : std::string(path);
  std::vector<std::string_view> kept;
  const std::vector<std::string_view> parts = leadsman::Split(text, '/');
  for (std::string_view part : parts) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string out;
  for (std::string_view part : kept) out.append("/").append(part);
  const bool folder =
      !parts.empty() && (parts.back().empty() || parts.back() == "." || parts.back() == "..");
  if (out.empty() || folder) out += '/';
  return out;
}

RouteTable::RouteTable(const Options& options) {
  auto index_of = [&](const std::string& service) {
    for (size_t i = 0; i < options.services.size(); ++i) {
      if (options.services[i].name == service) return i;
    }
    return options.services.size();
  };
  for (size_t i = 0; i < options.routes.size(); ++i) {
    const RouteOptions& route = options.routes[i];
    const size_t service = index_of(route.service);
    if (service == options.services.size()) continue;
    routes_.push_back({route, service, route.source.value_or(i),
                       route.decode.sample.value_or(options.decode.sample)});
  }
  if (routes_.empty() && options.services.size() == 1) {
    RouteOptions all;
    all.service = options.services[0].name;
    routes_.push_back({std::move(all), 0, 0, options.decode.sample});
  }
}

const RouteTable::Route* RouteTable::Find(std::string_view host,
                                          const net::HttpRequest& request) const {
  const std::string_view name = WithoutPort(host);
  std::string_view path = request.path;
  std::string normalised;
  if (NeedsNormalising(path)) {
    normalised = NormalisedPath(path);
    path = normalised;
  }
  for (const Route& route : routes_) {
    if (path.starts_with(route.options.path) && HostFits(route.options.host, name) &&
        HeadersFit(route.options, request))
      return &route;
  }
  return nullptr;
}

}  // namespace leadsman::gateway
