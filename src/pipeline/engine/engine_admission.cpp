// Who of the engine's requests is prepared and begins, by the memory there is.
#include <algorithm>
#include <limits>
#include <utility>

#include "memory/admission.h"
#include "pipeline/engine/engine.h"

namespace qvl {
namespace {

// Its memory is its own, or may be by now.
bool is_under_way(const ScheduledRequest& request) {
  return request.preparation() != ScheduledRequest::Preparation::waiting;
}

// Of the request alone, beside whatever is none of the requests'.
Error too_large(const ScheduledRequest& request, const scheduling::ResourceRefusal& refusal,
                const Ledger& ledger) {
  if (refusal.resource != scheduling::Resource::memory) {
    return Error(ErrorCode::limit, "request: " + refusal.message());
  }
  return Error(ErrorCode::limit,
               shortage_of("request: needs", request.needs(), refusal.limit, ledger.cap_bytes()));
}

}  // namespace

// Free, or given up by caches where that is wanted.
uint64_t Engine::room() const {
  const LedgerReport report = model_.layer().memory().ledger().report();
  return report.free_bytes() + report.of(MemoryPart::pool).held_bytes + model_.idle_cached_bytes();
}

// From the first that was set back until none waits any more, requests are prepared one at a time: so the
// first of them gets what comes free, and in the end finds itself alone. Each try is for memory that came
// free since the one before, so there are not more of them than reasons.
bool Engine::may_prepare() const {
  if (!is_one_set_back()) return true;
  if (is_preparing()) return false;
  const bool alone = std::none_of(requests_.begin(), requests_.end(),
                                  [](const auto& entry) { return is_under_way(*entry.second); });
  return alone || room() > room_refused_;
}

bool Engine::is_one_set_back() const {
  return std::any_of(requests_.begin(), requests_.end(), [](const auto& entry) {
    const ScheduledRequest& request = *entry.second;
    return request.was_set_back() && request.preparation() != ScheduledRequest::Preparation::taken;
  });
}

void Engine::start_preparing() {
  if (!may_prepare()) return;
  const bool one_by_one = is_one_set_back();
  if (one_by_one && scheduler_.status().granted == 0) rest();  // it gets the scratch of earlier steps as well
  const uint32_t most = one_by_one ? 1 : std::numeric_limits<uint32_t>::max();
  for (scheduling::RequestId id : scheduler_.to_prepare(model_.layer().load(), most)) {
    ScheduledRequest& request = *requests_.at(id);
    for (const auto& [other_id, other] : requests_) {
      if (other_id == id || !is_under_way(*other)) continue;
      other->meet_others();
      request.meet_others();
    }
    request.begin_preparation();
    attempt(id, [&] { prepare(request); });
  }
}

// It gives back all that it has and waits to be prepared again, in its old place. False where there is no
// memory even for that.
bool Engine::set_back(scheduling::RequestId id) noexcept {
  std::unique_ptr<ScheduledRequest>& place = requests_.at(id);
  place->withdraw();
  try {
    auto again = model_.request(place->take_request(), place->shared_channel());
    if (!scheduler_.put_back(id)) return false;
    again->mark_set_back();
    place = std::move(again);
    model_.after_request();
    room_refused_ = room();
  } catch (...) {
    return false;
  }
  short_of_memory_ = false;
  bell_->ring();  // others may go on with what it had
  return true;
}

// Another pipeline of the model may have changed it.
void Engine::follow_memory_limit() {
  const uint64_t cap = model_.layer().memory().ledger().cap_bytes();
  scheduling::Amounts capacities = scheduler_.resources().capacities();
  capacities.memory = cap - std::min(cap, held_before_);
  if (capacities != scheduler_.resources().capacities()) scheduler_.set_capacities(capacities);
}

// Whether a request ended here: what it held may be enough for others, of which nobody rings.
bool Engine::admit() {
  if (short_of_memory_) return false;
  const size_t before = requests_.size();
  follow_memory_limit();
  const auto& admission = scheduler_.admit(model_.layer().load(), [this](scheduling::RequestId id) {
    const bool found = find_room(*requests_.at(id));
    short_of_memory_ = short_of_memory_ || !found;
    return found;
  });
  for (const auto& impossible : admission.impossible) {
    const Ledger& ledger = model_.layer().memory().ledger();
    end_with(impossible.id, too_large(*requests_.at(impossible.id), impossible.refusal, ledger));
  }
  for (scheduling::RequestId id : admission.granted) {
    attempt(id, [&] { requests_.at(id)->begin(); });
  }
  // One that has nobody to wait for begins, or hears why it cannot.
  const bool nobody_computes = scheduler_.status().granted == 0;
  if (short_of_memory_ && nobody_computes && !is_preparing()) begin_alone();
  return requests_.size() < before;
}

// What others have taken ahead is in its way, and scratch of earlier steps.
void Engine::begin_alone() {
  rest();
  bool first = true;
  const auto one = [&](scheduling::RequestId) { return std::exchange(first, false); };
  for (scheduling::RequestId id : scheduler_.admit(model_.layer().load(), one).granted) {
    set_back_all_but(id);
    attempt(id, [&] {
      ScheduledRequest& request = *requests_.at(id);
      (void)qvl::admit(model_.layer().memory().ledger(), "request: needs", request.needs());
      request.begin();
    });
  }
}

// Of those that are prepared and not admitted.
void Engine::set_back_all_but(scheduling::RequestId id) {
  for (auto next = requests_.begin(); next != requests_.end();) {
    const auto other = next->first;
    const ScheduledRequest& request = *next->second;
    ++next;  // the request may end
    if (other == id || !is_under_way(request) || !request.holds_ahead()) continue;
    if (!set_back(other)) end_with(other, Error::out_of_memory());
  }
}

// The scheduler knows what its requests hold, and nothing of scratch, of pictures that were cut ahead and of
// whatever else shares the memory: where that is too much for one request more, it waits for another one's
// end. Caches are given up where that is enough, and scratch is there for all.
bool Engine::find_room(ScheduledRequest& request) {
  const LedgerReport report = model_.layer().memory().ledger().report();
  uint64_t bytes = 0, scratch = 0;
  for (const MemoryNeed& need : request.needs()) {
    (need.part == MemoryPart::scratch ? scratch : bytes) += need.bytes;
  }
  bytes += scratch - std::min(scratch, report.of(MemoryPart::scratch).held_bytes);
  return bytes <= room() && model_.layer().memory().ledger().make_room(bytes) && request.reserve();
}

}  // namespace qvl
