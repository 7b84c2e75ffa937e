/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing pages of a running enclave: fewer permissions, another type, and
 * taking them away.  The page is in EPC throughout, since all of it happens under
 * the enclave's lock; so is the tracking cycle that goes with a change, because a
 * second ETRACK before everybody has left would be refused.
 */
#include <errno.h>

#include "encl.h"

/* Lock @encl with the page at @offset in EPC.  Return: as epc_encl_lock_page(); -EFAULT none. */
static int lock_existing(struct sgx_encl *encl, uint64_t offset, struct epc_encl_page **rec)
{
	struct epc_stock stock = { .nr = 0 };
	int err;

	err = epc_encl_lock_page(encl, offset, false, &stock, rec);
	if (!err && !*rec) {
		epc_unlock(&encl->lock);
		err = -EFAULT;
	}
	epc_stock_finish(encl, &stock);
	return err;
}

static uint64_t record_pa(const struct sgx_encl *encl, const struct epc_encl_page *rec)
{
	return sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec));
}

static void changed(struct sgx_encl *encl, uint64_t la, uint64_t pa)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;

	if (mm->changed)
		mm->changed(mm->ctx, encl->cookie, la, pa);
}

/* The page has changed: let the enclave be able to accept that. */
static int track_change(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	const int err = epc_encl_track(encl);

	if (err)
		rec->flags |= EPC_ENCL_PAGE_UNTRACKED;
	else
		rec->flags &= (uint8_t)~EPC_ENCL_PAGE_UNTRACKED & 0x3f;
	return err;
}

/* --- permissions ------------------------------------------------------------------ */

static struct isa_outcome emodpr(struct sgx_encl *encl, const struct epc_encl_page *rec,
				 uint8_t rwx)
{
	const _Alignas(64) struct sgx_secinfo secinfo = { .flags = rwx };
	const struct epc_encls_ops *ops = &encl->pool->ops;

	return ops->emodpr(ops->ctx, &secinfo, record_pa(encl, rec));
}

static int restrict_locked(struct sgx_encl *encl, struct epc_encl_page *rec, uint8_t rwx,
			   struct isa_outcome *result)
{
	if (rec->type != PT_REG)
		return -EINVAL;
	*result = emodpr(encl, rec, rwx);
	if (!isa_is_done(*result))
		return -EFAULT;
	changed(encl, epc_record_la(encl, rec), record_pa(encl, rec));
	return track_change(encl, rec);
}

int sgx_encl_restrict_page(struct sgx_encl *encl, uint64_t offset, uint8_t rwx,
			   struct isa_outcome *result)
{
	struct epc_encl_page *rec;
	int err;

	*result = (struct isa_outcome){ .kind = ISA_DONE };
	if (!encl->pool->ops.emodpr || !encl->pool->ops.etrack)
		return -ENODEV;
	err = lock_existing(encl, offset, &rec);
	if (err)
		return err;
	err = restrict_locked(encl, rec, rwx, result);
	epc_unlock(&encl->lock);
	return err;
}

/* --- type -------------------------------------------------------------------------- */

static bool is_legal_change(uint8_t from, uint8_t to)
{
	return (from == PT_REG && (to == PT_TCS || to == PT_TRIM)) ||
	       (from == PT_TCS && to == PT_TRIM);
}

/* The record says what the EPCM does, also when tracking fails afterwards. */
static int emodt(struct sgx_encl *encl, struct epc_encl_page *rec, uint8_t type,
		 struct isa_outcome *result)
{
	const _Alignas(64) struct sgx_secinfo secinfo = { .flags = SECINFO_PT(type) };
	const struct epc_encls_ops *ops = &encl->pool->ops;
	const uint64_t pa = record_pa(encl, rec);

	epc_encl_zap(encl, &rec, 1);
	*result = ops->emodt(ops->ctx, &secinfo, pa);
	if (!isa_is_done(*result))
		return -EFAULT;
	rec->type = type;
	if (type == PT_TCS)
		rec->prot = SECINFO_R | SECINFO_W;
	changed(encl, epc_record_la(encl, rec), pa);
	return 0;
}

static int modify_locked(struct sgx_encl *encl, struct epc_encl_page *rec, uint8_t type,
			 struct isa_outcome *result)
{
	const uint8_t rw = SECINFO_R | SECINFO_W;
	int err;

	/* Changed by an earlier call, whose ETRACK failed. */
	if (rec->type == type && rec->flags & EPC_ENCL_PAGE_UNTRACKED)
		return track_change(encl, rec);
	if (!is_legal_change(rec->type, type))
		return -EINVAL;
	if (type == PT_TCS && (rec->prot & rw) != rw)
		return -EPERM;
	err = emodt(encl, rec, type, result);
	return err ? err : track_change(encl, rec);
}

int sgx_encl_modify_page(struct sgx_encl *encl, uint64_t offset, uint8_t type,
			 struct isa_outcome *result)
{
	struct epc_encl_page *rec;
	int err;

	*result = (struct isa_outcome){ .kind = ISA_DONE };
	if (!encl->pool->ops.emodt || !encl->pool->ops.etrack)
		return -ENODEV;
	err = lock_existing(encl, offset, &rec);
	if (err)
		return err;
	err = modify_locked(encl, rec, type, result);
	epc_unlock(&encl->lock);
	return err;
}

/* --- removal ------------------------------------------------------------------------ */

/*
 * EMODPR of a TRIM page says PAGE_NOT_MODIFIABLE until the enclave has accepted
 * the trim, and faults from then on.  Either way it changes nothing.
 */
static bool is_accepted(struct sgx_encl *encl, const struct epc_encl_page *rec)
{
	const struct isa_outcome out = emodpr(encl, rec, SECINFO_RWX);

	return out.kind == ISA_FAULT && out.vector == X86_PF;
}

static int remove_locked(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	struct sgx_epc_page *page = epc_record_page(encl, rec);
	const uint64_t la = epc_record_la(encl, rec);

	if (rec->type != PT_TRIM || !is_accepted(encl, rec))
		return -EPERM;
	epc_encl_zap(encl, &rec, 1);
	epc_encl_page_gone(encl, rec);
	sgx_encl_free_epc_page(encl->pool, page, "sgx_encl_remove_page");
	changed(encl, la, ISA_NO_FRAME);
	epc_va_shrink(encl);
	return 0;
}

int sgx_encl_remove_page(struct sgx_encl *encl, uint64_t offset)
{
	struct epc_encl_page *rec;
	int err;

	if (!encl->pool->ops.emodpr)
		return -ENODEV;
	err = lock_existing(encl, offset, &rec);
	if (err)
		return err;
	err = remove_locked(encl, rec);
	epc_unlock(&encl->lock);
	return err;
}

