/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine object: EPC sections, their numbering as frames, and the only
 * place of the processor that allocates.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

uint32_t isa_version(void)
{
	return SWSGX_ISA_VERSION;
}

static bool section_is_valid(const struct isa_section *s)
{
	return s->nr_pages && isa_is_aligned(s->pa, SGX_PAGE_SIZE) &&
	       s->nr_pages <= (UINT64_MAX - s->pa) >> SGX_PAGE_SHIFT;
}

static uint64_t section_end(const struct isa_section *s)
{
	return s->pa + (s->nr_pages << SGX_PAGE_SHIFT);
}

static bool sections_overlap(const struct isa_section *a, const struct isa_section *b)
{
	return a->pa < section_end(b) && b->pa < section_end(a);
}

/* Frames in all sections together; 0 when they cannot be sections. */
static uint64_t count_frames(const struct isa_config *config)
{
	uint64_t nr_frames = 0;

	for (size_t i = 0; i < config->nr_sections; i++) {
		const struct isa_section *s = &config->sections[i];

		/* EPCM entries name the owner with 32 bits. */
		if (!section_is_valid(s) || s->nr_pages >= EPCM_NO_SECS - nr_frames)
			return 0;
		for (size_t j = 0; j < i; j++)
			if (sections_overlap(s, &config->sections[j]))
				return 0;
		nr_frames += s->nr_pages;
	}
	return nr_frames;
}

/* XFRM bits this machine can save: in the profile, in XCR0, with a known size. */
static uint64_t supported_xfrm(const struct isa_config *config)
{
	uint64_t xfrm = config->profile->xfrm & config->xcr0;

	for (unsigned int i = 2; i < 64; i++)
		if (!config->xsave_size[i])
			xfrm &= ~(1ull << i);
	return xfrm;
}

static bool config_is_valid(const struct isa_config *config)
{
	return config->profile && config->sections && config->nr_sections &&
	       config->epc_page && (config->xcr0 & XFRM_X87_SSE) == XFRM_X87_SSE;
}

static int allocate(struct isa_machine *m)
{
	const size_t nr_sections = m->config.nr_sections;

	m->sections = calloc(nr_sections, sizeof(m->sections[0]));
	m->first_frame = calloc(nr_sections, sizeof(m->first_frame[0]));
	m->epcm = calloc(m->nr_frames, sizeof(m->epcm[0]));
	m->shared = calloc(m->nr_frames, sizeof(m->shared[0]));
	m->paging = isa_gcm_create();
	return m->sections && m->first_frame && m->epcm && m->shared && m->paging ? 0 : -ENOMEM;
}

static void number_frames(struct isa_machine *m)
{
	uint64_t frame = 0;

	for (size_t i = 0; i < m->config.nr_sections; i++) {
		m->sections[i] = m->config.sections[i];
		m->first_frame[i] = frame;
		frame += m->sections[i].nr_pages;
	}
	m->config.sections = m->sections;
}

int isa_machine_create(const struct isa_config *config, struct isa_machine **out)
{
	struct isa_machine *m;
	uint64_t nr_frames;
	int ret;

	if (!config_is_valid(config))
		return -EINVAL;
	nr_frames = count_frames(config);
	if (!nr_frames)
		return -EINVAL;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->config = *config;
	m->nr_frames = nr_frames;
	ret = allocate(m);
	if (ret) {
		isa_machine_destroy(m);
		return ret;
	}
	number_frames(m);
	m->first = m->sections[0];
	m->xfrm = supported_xfrm(config);
	atomic_init(&m->next_eid, 1);
	atomic_init(&m->paging_version, 1);
	for (int i = 0; i < 2; i++) {
		uint64_t half;

		memcpy(&half, config->owner_epoch + 8 * i, sizeof(half));
		atomic_init(&m->owner_epoch[i], half);
	}
	memcpy(m->cpusvn, config->profile->cpusvn, sizeof(m->cpusvn));
	memcpy(m->loaded_svn, m->cpusvn, sizeof(m->loaded_svn));
	isa_keys_init(m);
	*out = m;
	return 0;
}

void isa_machine_destroy(struct isa_machine *m)
{
	if (!m)
		return;
	free(m->sections);
	free(m->first_frame);
	free(m->epcm);
	free(m->shared);
	isa_gcm_destroy(m->paging);
	free(m);
}

uint64_t isa_machine_frame(const struct isa_machine *m, uint64_t pa)
{
	for (size_t i = 0; i < m->config.nr_sections; i++) {
		const uint64_t page = (pa - m->sections[i].pa) >> SGX_PAGE_SHIFT;

		if (page < m->sections[i].nr_pages)
			return m->first_frame[i] + page;
	}
	return ISA_NO_FRAME;
}

uint64_t isa_machine_pa(const struct isa_machine *m, uint64_t frame)
{
	for (size_t i = 0; i < m->config.nr_sections; i++) {
		const struct isa_section *s = &m->sections[i];

		if (frame - m->first_frame[i] < s->nr_pages)
			return s->pa + ((frame - m->first_frame[i]) << SGX_PAGE_SHIFT);
	}
	isa_bug();
}

uint64_t isa_machine_nr_frames(const struct isa_machine *m)
{
	return m->nr_frames;
}

const struct isa_profile *isa_machine_profile(const struct isa_machine *m)
{
	return m->config.profile;
}
