#include "threads/thread_group.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

// A thread can be placed once it runs.
ThreadId wait_for_id(const std::atomic<ThreadId>& id) {
  id.wait(0, std::memory_order_acquire);
  return id.load(std::memory_order_acquire);
}

}  // namespace

ThreadGroup::ThreadGroup(std::string name, StartThread start)
    : name_(std::move(name)), start_(std::move(start)) {}

ThreadGroup::~ThreadGroup() { join_from(0); }

bool ThreadGroup::start(std::function<void()> body) {
  auto member = std::make_unique<Member>();
  auto run = [member = member.get(), body = std::move(body),
              name = fmt::format("qvl-{}{}", name_, size() + 1)] {
    name_this_thread(name);
    member->id.store(this_thread_id(), std::memory_order_release);
    member->id.notify_all();
    body();
    member->ended.store(true, std::memory_order_release);
  };
  members_.reserve(members_.size() + 1);  // nothing may fail once the thread runs
  try {
    member->thread = start_(std::move(run));
  } catch (const std::system_error& error) {
    problem_ = error.what();
    return false;
  }
  members_.push_back(std::move(member));
  if (!places_.empty()) place(*members_.back(), members_.size() - 1);
  if (priority_) set_thread_priority(wait_for_id(members_.back()->id), *priority_);
  return true;
}

void ThreadGroup::join_from(int first) {
  const auto from = members_.begin() + std::min(first, size());
  std::for_each(from, members_.end(), [](auto& member) { member->thread.join(); });
  members_.erase(from, members_.end());
}

void ThreadGroup::join_ended() {
  std::erase_if(members_, [](auto& member) {
    if (!member->ended.load(std::memory_order_acquire)) return false;
    member->thread.join();
    return true;
  });
}

bool ThreadGroup::contains_this_thread() const {
  return std::any_of(members_.begin(), members_.end(), [](const auto& member) {
    return member->thread.get_id() == std::this_thread::get_id();
  });
}

bool ThreadGroup::place(Member& member, size_t index) const {
  const ThreadId id = wait_for_id(member.id);
  const bool placed = set_thread_affinity(id, places_[index % places_.size()]);
  member.place = CpuSet();
  try {
    // The kernel leaves out what the process may not use; what is left is where the thread belongs.
    if (placed) member.place = thread_affinity(id);
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is placed, and not watched
  }
  return placed;
}

int ThreadGroup::place(std::vector<CpuSet> places) {
  places_ = std::move(places);
  if (places_.empty()) return 0;
  int refused = 0;
  for (size_t i = 0; i < members_.size(); ++i) {
    // A thread that has come to its end meanwhile is nowhere, and refuses nothing.
    if (!place(*members_[i], i) && !members_[i]->ended.load(std::memory_order_acquire)) ++refused;
  }
  return refused;
}

int ThreadGroup::prioritise(const OsPriority& priority) {
  priority_ = priority;
  return static_cast<int>(std::count_if(members_.begin(), members_.end(), [&](const auto& member) {
    return !set_thread_priority(wait_for_id(member->id), priority) &&
           !member->ended.load(std::memory_order_acquire);
  }));
}

std::optional<CpuSet> ThreadGroup::moved_to() const {
  for (const auto& member : members_) {
    if (member->place.empty()) continue;
    CpuSet now = thread_affinity(wait_for_id(member->id));
    if (!now.empty() && now != member->place) return now;
  }
  return std::nullopt;
}

}  // namespace qvl
