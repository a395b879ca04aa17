package sim

// prefixes is what a target remembers of the prompts it has seen: the blocks used last. It forgets in generations, which is close to the least
// recently used and costs nothing per block.
type prefixes struct {
	young, old map[uint64]struct{}
}

// use returns how many leading blocks of a prompt are remembered, and remembers all of it. keeps bounds how many blocks there are.
func (p *prefixes) use(blocks []uint64, keeps int) (hit int) {
	for _, b := range blocks {
		if _, ok := p.young[b]; !ok {
			if _, ok := p.old[b]; !ok {
				break
			}
		}
		hit++
	}
	if p.young == nil {
		p.young = map[uint64]struct{}{}
	}
	for _, b := range blocks {
		p.young[b] = struct{}{}
	}
	if len(p.young) > max(keeps, 2)/2 {
		p.young, p.old = map[uint64]struct{}{}, p.young
	}
	return hit
}
