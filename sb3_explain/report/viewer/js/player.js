// The clock of the player: where it stands, and whether it runs.

export class Player {
  /** @param n number of steps; `show(position)` draws one, and says by a promise when it has */
  constructor(n, fps, show) {
    Object.assign(this, { n, fps, show, position: 0, speed: 1, running: false, late: 0 });
  }

  async go(position) {
    this.position = Math.min(this.n - 1, Math.max(0, Math.round(position)));
    await this.show(this.position);
  }

  toggle(running = !this.running) {
    if (running && this.position === this.n - 1) this.position = 0;
    if (running && !this.running) {
      this.last = undefined;
      this.late = 0;
      requestAnimationFrame((time) => this.tick(time));
    }
    this.running = running;
    this.show(this.position);
  }

  async tick(time) {
    if (!this.running) return;
    this.late += this.last === undefined ? 0 : ((time - this.last) / 1000) * this.fps * this.speed;
    this.last = time;
    const steps = Math.floor(this.late);
    if (steps > 0) {
      this.late -= steps;
      await this.go(this.position + steps);
      if (this.position === this.n - 1) {
        this.toggle(false);
        this.ended?.();
        return;
      }
    }
    requestAnimationFrame((later) => this.tick(later));
  }
}
