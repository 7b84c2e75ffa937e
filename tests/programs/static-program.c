/* SPDX-License-Identifier: BSD-3-Clause */
/* A program without a dynamic linker, which nothing can be preloaded into. */
int main(void)
{
	return 0;
}
